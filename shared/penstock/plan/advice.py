"""What is right in a plan and still worth saying when it is linted: what gates need, and whom they compare with."""

from collections.abc import Iterator

from penstock.errors import Problem
from penstock.events.verdicts import Authority
from penstock.plan.gates import BurnRateGate, Gate, OwnHistoryGate, SloGate
from penstock.plan.model import Plan, Stage

_PAST = (
    "says nothing before the service has 17 hours of telemetry, and knows the time of day after a day; it follows the "
    "whole service, so of a canary it sees the share that is exposed; it can only advise"
)
_BUCKETS = (
    "is read from buckets. Where its limit is no edge of theirs, values between the two next to it may lie on either "
    "side, and count against a pass and never for a breach"
)


def notes_on(plan: Plan) -> Iterator[Problem]:
    """Yield what is no problem, but should be known: what own histories and latency objectives need."""
    for name, gate in plan.gates.items():
        if isinstance(gate, OwnHistoryGate):
            yield Problem(f"gates.{name}", _PAST)
        elif isinstance(gate, SloGate) and gate.quantile is not None:
            yield Problem(f"gates.{name}", _BUCKETS)


def doubts_about(plan: Plan) -> Iterator[Problem]:
    """Yield what will hardly do what was meant: stages without a control group, plans that nothing can stop."""
    if all(gate.authority is Authority.ADVISE for gate in plan.gates.values()):
        yield Problem("gates", "all of them only advise: every release passes when its bakes are over")
    for place, stage in enumerate(plan.stages):
        compared = [name for name in _binding(plan, stage) if _compares(plan.gates[name])]
        if stage.exposure >= 1.0 and not stage.audience.all_of and compared:
            yield Problem(
                f"stages.{place}.exposure",
                "everyone has the release: nobody is left to compare with, and there will be no data for "
                f"{', '.join(compared)}; "
                "end at less and soak with a holdback, or name `slo` gates for this stage and add an `own_history`",
            )


def _binding(plan: Plan, stage: Stage) -> tuple[str, ...]:
    names = stage.gates if stage.gates is not None else tuple(plan.gates)
    return tuple(name for name in names if plan.gates[name].authority is not Authority.ADVISE)


def _compares(gate: Gate) -> bool:
    """Whether a gate needs a control group."""
    return not isinstance(gate, SloGate | BurnRateGate | OwnHistoryGate)
