"""A target's history: rates, edges and noise, estimated from the A/A windows between rollouts."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from services.gate_evaluation.judge.arrays import Floats, pack, unpack
from services.gate_evaluation.judge.evidence.rate_state import FORGET
from services.gate_evaluation.judge.gates import kinds
from services.gate_evaluation.judge.gates.own_history import OwnHistoryMonitor
from services.gate_evaluation.judge.measures import Cohort, MeasureError, Window
from services.gate_evaluation.judge.noise.bursts import Bursts
from services.gate_evaluation.judge.noise.dispersion import Dispersion, Residual
from services.gate_evaluation.judge.noise.traffic_split import SplitNoise
from services.gate_evaluation.judge.series.rolling_counts import Span
from services.gate_evaluation.judge.series.tails import TailSource
from services.gate_evaluation.judge.spec import GateKind, GateSpec
from services.gate_evaluation.judge.versions import CURRENT, Parameters

_LAYOUTS = {GateKind.MEAN: 2, GateKind.BURN_RATE: 2, GateKind.OWN_HISTORY: 2}
"""Of kinds whose state was laid out otherwise before: what was kept then is left aside."""


class History:
    """Learns from A/A windows; a judge starts from a copy and goes on learning in the rollout.

    `learn` takes one window with cohorts a and b. A window that lacks a metric teaches nothing about it.
    """

    def __init__(
        self, gates: Sequence[GateSpec], window_seconds: float = 60.0, parameters: Parameters = CURRENT
    ) -> None:
        self.gates = tuple(gates)
        self.parameters = parameters
        self.window_seconds = window_seconds
        self.clock = 0.0
        self.span = Span(0.0, 0.0)
        self.evaluators, self.sources = kinds.build(gates, parameters)
        self.comparisons = kinds.comparisons_of(self.evaluators)
        self.dispersion = Dispersion(kinds.priors(self.comparisons))
        self.bursts = Bursts(self.dispersion.prior.size, by_expected=parameters.bursts_by_expected)
        self.split = SplitNoise()
        self.windows = 0
        self.requests = 0.0
        self.seen: set[str] = set()

    def update(self, window: Window) -> None:
        """Take one window outside a rollout: of the halves dispersion and rates, of the whole service its past."""
        self.advance(window)
        if window.late:
            return
        for evaluator in self.evaluators:
            if isinstance(evaluator, OwnHistoryMonitor):
                evaluator.follow(window, self.span)
        if window.a is None or window.b is None:
            return
        a, b = without(window.a, window.resets), without(window.b, window.resets)
        self.update_noise(a, b)
        for comparison in self.comparisons:
            if isinstance(comparison, kinds.WITH_LEVEL):
                comparison.absorb_halves(a, b)
        for source in self.sources.values():
            source.absorb_halves()
        self.windows += 1
        total = requests_of(a) + requests_of(b)
        self.requests += max(1.0 / self.windows, FORGET) * (total - self.requests)

    def advance(self, window: Window) -> None:
        """Set the span of the window at hand: as long as it is, whatever the plan asked."""
        start = window.epoch if window.epoch is not None else self.clock
        self.clock = start + (window.seconds or self.window_seconds)
        self.span = Span(start, self.clock)

    def start_rollout(self) -> None:
        """Forget the canary of the last rollout."""
        for evaluator in self.evaluators:
            evaluator.start_rollout()
        for source in self.sources.values():
            source.rollout_tails.start_rollout()

    def update_noise(self, a: Cohort, b: Cohort) -> None:
        """Add the difference of the two halves to the noise estimates, and to nothing else."""
        for source in self.sources.values():
            load(source, a, b)
        self.seen |= a.measures.keys() & b.measures.keys()
        residuals: list[Residual | None] = [None] * self.dispersion.prior.size
        for comparison in self.comparisons:
            if isinstance(comparison, kinds.WITH_RESIDUALS):
                found = comparison.residuals(a, b)
                residuals[comparison.index : comparison.index + len(found)] = found
        self.dispersion.update(residuals, rollout=False)
        self.bursts.update(residuals)
        self.split.update(requests_of(a), requests_of(b))

    @property
    def unsure(self) -> Floats:
        """Relative error of the dispersion, shape (2, channels); none where bursts have divisors of their own."""
        return self.dispersion.unsure * self.bursts.calm

    def to_doc(self) -> dict[str, Any]:
        """Return everything as JSON-able values (a few kilobytes a metric)."""
        arrays = self.dispersion.arrays()
        gates: dict[str, dict[str, Any]] = {
            each.gate.name: {"reads": reads(each.gate), "state": each.to_doc()} for each in self.evaluators
        }
        for comparison in self.comparisons:
            channels = slice(comparison.index, comparison.index + len(comparison.prior_sds))
            lags = np.concatenate((arrays["sums"][:, channels], arrays["rings"][:, channels]))
            gates[comparison.gate.name] |= {
                "windows": arrays["windows"][0, channels].tolist(),
                "bursts": pack(self.bursts.counts[channels]),
                "burst_windows": [self.bursts.windows[channels].tolist(), self.bursts.again[channels].tolist()],
                "burst_last": self.bursts.last[channels].tolist(),
                "lags": pack(lags),
            }
        sources = {
            name: {
                "frame": source.frame.to_doc(),
                "sums": pack(source.frame.sums),
                "so_far": pack(source.rollout_tails.to_array()),
            }
            for name, source in self.sources.items()
        }
        return {
            "version": 1, "windows": self.windows, "requests": self.requests, "seen": sorted(self.seen),
            "split": self.split.to_list(), "clock": self.clock, "gates": gates, "sources": sources,
        }  # fmt: skip

    @classmethod
    def from_doc(
        cls, gates: Sequence[GateSpec], doc: dict[str, Any] | None, window_seconds: float = 60.0,
        parameters: Parameters = CURRENT,
    ) -> "History":  # fmt: skip
        """Return the history of these gates; a gate that the document does not hold starts without any."""
        history = cls(gates, window_seconds, parameters)
        if not doc:
            return history
        history.windows, history.requests, history.clock = doc["windows"], doc["requests"], doc.get("clock", 0.0)
        history.seen = set(doc["seen"])
        history.split = SplitNoise.from_list(doc["split"])
        for name, source in history.sources.items():
            if name in doc["sources"]:
                kept = doc["sources"][name]
                source.frame.restore(kept["frame"], unpack(kept["sums"]))
                if "so_far" in kept:
                    source.rollout_tails.restore(unpack(kept["so_far"]))
        arrays = history.dispersion.arrays()
        kept_gates = {}
        for evaluator in history.evaluators:
            kept = doc["gates"].get(evaluator.gate.name)
            if kept is not None and kept["reads"] == reads(evaluator.gate):
                evaluator.restore(kept["state"])
                kept_gates[evaluator.gate.name] = kept
        for comparison in history.comparisons:
            kept = kept_gates.get(comparison.gate.name)
            if kept is None:
                continue
            channels = slice(comparison.index, comparison.index + len(comparison.prior_sds))
            lags = unpack(kept["lags"])
            arrays["windows"][0, channels] = kept["windows"]
            history.bursts.counts[channels] = unpack(kept["bursts"])
            history.bursts.windows[channels], history.bursts.again[channels] = kept["burst_windows"]
            history.bursts.last[channels] = kept["burst_last"]
            arrays["sums"][:, channels], arrays["rings"][:, channels] = lags[:2], lags[2:]
        history.dispersion.restore(arrays)
        history.bursts.update_calm()
        return history

    def copy(
        self, gates: Sequence[GateSpec], window_seconds: float = 60.0, parameters: Parameters = CURRENT
    ) -> "History":
        """Return an independent copy, read for other gates and by another version of the judge."""
        return History.from_doc(gates, self.to_doc(), window_seconds, parameters)


def reads(gate: GateSpec) -> list[Any]:
    """Return what makes the history of a gate the history of another: kind, metric, quantile, direction, layout."""
    layout = [_LAYOUTS[gate.kind]] if gate.kind in _LAYOUTS else []
    return [str(gate.kind), gate.metric, gate.q, str(gate.bad), *layout]


def load(source: TailSource, one: Cohort, two: Cohort) -> None:
    """Load a source; histograms that do not fit those seen before leave it without data for this window."""
    try:
        source.load(one, two)
    except MeasureError:
        source.unload()


def without(cohort: Cohort, resets: frozenset[str]) -> Cohort:
    """Return the cohort without metrics whose counters were reset."""
    if not resets:
        return cohort
    kept = {name: measure for name, measure in cohort.measures.items() if name not in resets}
    return Cohort(kept, cohort.requests, cohort.live)


def requests_of(cohort: Cohort) -> float:
    """Return the cohort's requests: stated, or the most values that any of its measures has."""
    if cohort.requests is not None:
        return cohort.requests
    return max((getattr(m, "total", getattr(m, "count", 0.0)) for m in cohort.measures.values()), default=0.0)
