"""Estimates the noise of a target's gates from A/A windows, and judges one half of the fleet against the other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.gate_evaluation.judge.gates.history import History
from services.gate_evaluation.judge.judge import Judge
from services.gate_evaluation.judge.measures import Window
from services.gate_evaluation.judge.spec import JudgeSpec


@dataclass(frozen=True, slots=True)
class GateNoise:
    """One gate's noise: A/A windows, sd of a window's log ratio beyond chance, and sd over its long run."""

    name: str
    windows: float
    sd_window: float
    sd_long: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Noise by gate; and a replay of the second half with half a as canary: its word and evidence (log10)."""

    gates: tuple[GateNoise, ...]
    replay_word: str
    replay_log10: float
    replay_windows: int


def calibrate(spec: JudgeSpec, windows: Sequence[Window]) -> Calibration:
    """Return what A/A windows teach.

    Args:
        spec: the gates and budgets.
        windows: with cohorts a and b, in order.
    """
    history = History(spec.gates, spec.window_seconds)
    for window in windows:
        history.update(window)
    noise = []
    for comparison in history.comparisons:
        for channel in range(comparison.index, comparison.index + len(comparison.prior_sds)):
            tau2 = float(history.dispersion.tau2[1, channel])
            seen = float(history.dispersion.windows[channel])
            noise.append(GateNoise(comparison.gate.name, seen, history.dispersion.variance(channel) ** 0.5, tau2**0.5))
    word, log10, count = _replay(spec, windows)
    return Calibration(tuple(noise), word, log10, count)


def _replay(spec: JudgeSpec, windows: Sequence[Window]) -> tuple[str, float, int]:
    half = len(windows) // 2
    history = History(spec.gates, spec.window_seconds)
    for window in windows[:half]:
        history.update(window)
    rest = windows[half:]
    least = max(len(rest), 1)
    judge = Judge.start(
        replace(spec, splits=(0.5,), min_bake=least, max_bake=least, horizon=None), history, report=False
    )
    word, log10 = "inconclusive", 0.0
    for window in rest:
        verdict = judge.observe(Window(canary=window.a, baseline=window.b), None)
        word, log10 = verdict.word.value, verdict.log10_f
        if verdict.final:
            break
    return word, log10, len(rest)
