"""What past windows taught about a target: rates, edges, and how much two halves of one fleet differ."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from services.gate_evaluation.judge.arrays import pack, unpack
from services.gate_evaluation.judge.evidence.mixtures import Floats
from services.gate_evaluation.judge.evidence.rate_state import FORGET
from services.gate_evaluation.judge.gates import kinds
from services.gate_evaluation.judge.gates.burn_rate import BurnComparison
from services.gate_evaluation.judge.gates.own_history import OwnHistoryComparison
from services.gate_evaluation.judge.measures import Cohort, MeasureError, Window
from services.gate_evaluation.judge.noise.bursts import Bursts
from services.gate_evaluation.judge.noise.dispersion import Dispersion, Residual
from services.gate_evaluation.judge.noise.traffic_split import SplitNoise
from services.gate_evaluation.judge.series.tails import TailSource
from services.gate_evaluation.judge.spec import GateKind, GateSpec

_LAYOUTS = {GateKind.MEAN: 2, GateKind.BURN_RATE: 2, GateKind.OWN_HISTORY: 2}
"""Of kinds whose state was laid out otherwise before: what was kept then is left aside."""


class History:
    """Learns from A/A windows; a judge starts from a copy and goes on learning in the rollout.

    `learn` takes one window with cohorts a and b. A window that lacks a metric teaches nothing about it.
    """

    def __init__(self, gates: Sequence[GateSpec], window_seconds: float = 60.0) -> None:
        self.gates = tuple(gates)
        self.window_seconds = window_seconds
        self.clock = 0.0
        self.comparisons, self.sources = kinds.build(gates)
        self._timed = [each for each in self.comparisons if isinstance(each, BurnComparison | OwnHistoryComparison)]
        self.dispersion = Dispersion(kinds.priors(self.comparisons))
        self.bursts = Bursts(self.dispersion.prior.size)
        self.split = SplitNoise()
        self.windows = 0
        self.requests = 0.0
        self.seen: set[str] = set()

    def learn(self, window: Window) -> None:
        """Take one window outside a rollout: of the halves dispersion and rates, of the whole service its past."""
        self.tick(window)
        if window.late:
            return
        for timed in self._timed:
            timed.follow(window)
        if window.a is None or window.b is None:
            return
        a, b = without(window.a, window.resets), without(window.b, window.resets)
        self.compare(a, b)
        for comparison in self.comparisons:
            comparison.absorb_pair(a, b)
        for source in self.sources.values():
            source.absorb_pair()
        self.windows += 1
        total = requests_of(a) + requests_of(b)
        self.requests += max(1.0 / self.windows, FORGET) * (total - self.requests)

    def tick(self, window: Window) -> None:
        """Tell the gates that count in time when the next window lies: as long as it is, whatever the plan asked."""
        start = window.epoch if window.epoch is not None else self.clock
        self.clock = start + (window.seconds or self.window_seconds)
        for timed in self._timed:
            timed.tick(start, self.clock)

    def begin(self) -> None:
        """Begin a rollout: what was last known of a canary was of another."""
        for comparison in self.comparisons:
            comparison.begin()
        for source in self.sources.values():
            source.so_far.begin()

    def compare(self, a: Cohort, b: Cohort) -> None:
        """Take the difference of the two halves into the dispersion, and nothing else."""
        for source in self.sources.values():
            load(source, a, b)
        self.seen |= a.measures.keys() & b.measures.keys()
        residuals: list[Residual | None] = []
        for comparison in self.comparisons:
            residuals.extend(comparison.learn(a, b))
        self.dispersion.learn(residuals, rollout=False)
        self.bursts.learn(residuals)
        self.split.learn(requests_of(a), requests_of(b))

    @property
    def unsure(self) -> Floats:
        """Relative error of the dispersion, shape (2, lanes); none where bursts have divisors of their own."""
        return self.dispersion.unsure * self.bursts.calm

    def to_doc(self) -> dict[str, Any]:
        """Return everything as JSON-able values (a few kilobytes a metric)."""
        arrays = self.dispersion.arrays()
        gates = {}
        for comparison in self.comparisons:
            lanes = slice(comparison.index, comparison.index + len(comparison.prior_sds))
            lags = np.concatenate((arrays["sums"][:, lanes], arrays["rings"][:, lanes]))
            gates[comparison.gate.name] = {
                "reads": reads(comparison.gate),
                "state": comparison.to_doc(),
                "windows": arrays["windows"][0, lanes].tolist(),
                "bursts": pack(self.bursts.counts[lanes]),
                "burst_windows": [self.bursts.windows[lanes].tolist(), self.bursts.again[lanes].tolist()],
                "burst_last": self.bursts.last[lanes].tolist(),
                "lags": pack(lags),
            }
        sources = {
            name: {
                "frame": source.frame.to_doc(),
                "sums": pack(source.frame.sums),
                "so_far": pack(source.so_far.to_array()),
            }
            for name, source in self.sources.items()
        }
        return {
            "version": 1, "windows": self.windows, "requests": self.requests, "seen": sorted(self.seen),
            "split": self.split.to_list(), "clock": self.clock, "gates": gates, "sources": sources,
        }  # fmt: skip

    @classmethod
    def from_doc(cls, gates: Sequence[GateSpec], doc: dict[str, Any] | None, window_seconds: float = 60.0) -> "History":
        """Return the history of these gates; a gate that the document does not hold starts without any."""
        history = cls(gates, window_seconds)
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
                    source.so_far.restore(unpack(kept["so_far"]))
        arrays = history.dispersion.arrays()
        for comparison in history.comparisons:
            kept = doc["gates"].get(comparison.gate.name)
            if kept is None or kept["reads"] != reads(comparison.gate):
                continue
            comparison.restore(kept["state"])
            lanes = slice(comparison.index, comparison.index + len(comparison.prior_sds))
            lags = unpack(kept["lags"])
            arrays["windows"][0, lanes] = kept["windows"]
            history.bursts.counts[lanes] = unpack(kept["bursts"])
            history.bursts.windows[lanes], history.bursts.again[lanes] = kept["burst_windows"]
            history.bursts.last[lanes] = kept["burst_last"]
            arrays["sums"][:, lanes], arrays["rings"][:, lanes] = lags[:2], lags[2:]
        history.dispersion.restore(arrays)
        history.bursts.restored()
        return history

    def copy(self, gates: Sequence[GateSpec], window_seconds: float = 60.0) -> "History":
        """Return an independent copy, read for other gates."""
        return History.from_doc(gates, self.to_doc(), window_seconds)


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
