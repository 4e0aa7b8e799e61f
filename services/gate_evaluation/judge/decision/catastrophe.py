"""Facts that need no statistics: no canary instance is alive. Judge version 4 added: most canary requests fail."""

from collections.abc import Sequence

from services.gate_evaluation.judge.measures import Cohort, Ratio
from services.gate_evaluation.judge.spec import Authority, Direction, GateKind, GateSpec

_SHARE = 0.5
_FEWEST = 20
_WINDOWS = 2
_SHARED = 0.25
"""A baseline that fails this often shares the incident: rolling the canary back would not end it."""


class Catastrophe:
    """Counts windows in which the canary is plainly broken."""

    def __init__(self, gates: Sequence[GateSpec], *, by_share: bool = False) -> None:
        self.running = 0
        self._names = tuple(dict.fromkeys(gate.metric for gate in gates if by_share and _guards(gate)))

    def observe(self, canary: Cohort, baseline: Cohort) -> bool:
        """Take one window and return whether the rule fires."""
        if canary.live == 0:
            return True
        measured = broken = False
        for name in self._names:
            measured = measured or isinstance(canary.measures.get(name), Ratio)
            broken = broken or (_failing(canary, name, _SHARE) and not _failing(baseline, name, _SHARED))
        if measured:
            self.running = self.running + 1 if broken else 0
        return self.running >= _WINDOWS


def _guards(gate: GateSpec) -> bool:
    return gate.kind is GateKind.RATIO and gate.bad is Direction.UP and gate.authority is Authority.ROLLBACK


def _failing(cohort: Cohort, metric: str, share: float) -> bool:
    measure = cohort.measures.get(metric)
    return isinstance(measure, Ratio) and measure.total >= _FEWEST and measure.events > share * measure.total
