"""Builders for judge tests: gates, windows of plain numbers, and histories of a calm fleet."""

from collections.abc import Sequence

import numpy as np

from services.gate_evaluation.judge import (
    Cohort,
    ExponentialHistogram,
    GateKind,
    GateSpec,
    Gauge,
    History,
    Judge,
    JudgeSpec,
    Margin,
    Ratio,
    Window,
    WindowVerdict,
)

ERRORS = GateSpec("errors", "errors", GateKind.RATIO)
P50 = GateSpec("p50", "latency", GateKind.QUANTILE, q=0.5)
P99 = GateSpec("p99", "latency", GateKind.QUANTILE, q=0.99)
MEMORY = GateSpec("memory", "memory", GateKind.GAUGE)
FOUR = (ERRORS, P50, P99, MEMORY)


def errors_gate(relative: float = 0.1, absolute: float = 0.0, **more: object) -> GateSpec:
    """Return an error gate with a pass margin five times its tolerance."""
    tolerance, margin = Margin(relative, absolute), Margin(relative * 5, absolute * 5)
    return GateSpec("errors", "errors", GateKind.RATIO, tolerance=tolerance, pass_margin=margin, **more)  # type: ignore[arg-type]


def histogram(values: Sequence[float] | np.ndarray, scale: int = 4) -> ExponentialHistogram:
    """Return the base-2 exponential histogram of positive values."""
    index = np.ceil(np.log2(np.asarray(values, dtype=float)) * 2.0**scale - 1e-9).astype(int) - 1
    low = int(index.min())
    counts = np.bincount(index - low).tolist()
    return ExponentialHistogram(float(len(values)), float(np.sum(values)), scale, 0.0, low, counts)


def cohort(errors: float | None = None, requests: float = 1000.0, **measures: object) -> Cohort:
    """Return a cohort with an error ratio (unless None) and any further measures."""
    found = dict(measures)
    if errors is not None:
        found["errors"] = Ratio(errors, requests)
    return Cohort(found, requests=requests)  # type: ignore[arg-type]


def window(canary: float, n_canary: float, baseline: float, n_baseline: float) -> Window:
    """Return a window of errors among requests."""
    return Window(canary=cohort(canary, n_canary), baseline=cohort(baseline, n_baseline))


def calm(rng: np.random.Generator, n: int, rate: float = 0.005, slower: float = 1.0, memory: float = 50.0) -> Cohort:
    """Return one window of a fleet: errors, latency, memory of four instances."""
    latency = rng.lognormal(4.0, 0.5, size=n) * slower
    instances = memory * (1.0 + 0.02 * rng.normal(size=4))
    return cohort(
        float(rng.binomial(n, rate)),
        float(n),
        latency=histogram(latency),
        memory=Gauge(4.0, float(instances.sum()), float((instances**2).sum())),
    )


def history(gates: Sequence[GateSpec], seed: int = 1, windows: int = 60, n: int = 1000, rate: float = 0.005) -> History:
    """Return what an A/A split of a calm fleet teaches."""
    rng = np.random.default_rng(seed)
    found = History(gates)
    for _ in range(windows):
        found.update(Window(a=calm(rng, n, rate), b=calm(rng, n, rate)))
    return found


def judged(spec: JudgeSpec, windows: Sequence[Window], past: History | None = None) -> list[WindowVerdict]:
    """Return the verdict after each window, the split left unchecked."""
    judge = Judge.start(spec, past)
    return [judge.observe(each, None) for each in windows]
