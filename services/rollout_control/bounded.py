"""Whether an undecided stage is known well enough to go on: every band ends below the plan's hard limit."""

from collections.abc import Sequence

from penstock.events import GateVerdict, StageJudged, Word
from penstock.events.verdicts import Direction
from penstock.plan import Plan

_IN_DOUBT = frozenset({"traffic_split", "suspicion"})
"""Flags under which a band is not to be relied on, or harm is likelier than not."""


def bounded(plan: Plan, gates: Sequence[GateVerdict], verdict: StageJudged) -> bool:
    """Return whether each of these gates has passed, or cannot be worse than its hard limit."""
    if not gates or _IN_DOUBT & set(verdict.flags):
        return False
    return all(gate.word is Word.PASSED or _below(plan, gate) for gate in gates)


def _below(plan: Plan, gate: GateVerdict) -> bool:
    planned = plan.gates.get(gate.gate)
    limit = planned.most() if planned is not None else None
    if limit is None or gate.no_data is not None or gate.word is not Word.INCONCLUSIVE:
        return False
    baseline = gate.baseline.value
    absolute = limit.absolute / baseline if baseline is not None and baseline > 0 else 0.0
    most = max(limit.relative, absolute)
    direction = gate.direction or Direction.UP
    up = direction is Direction.DOWN or (gate.high is not None and gate.high < most)
    down = direction is Direction.UP or (gate.low is not None and gate.low > -most)
    return up and down
