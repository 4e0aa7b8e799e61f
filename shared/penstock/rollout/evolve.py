"""How each recorded event moves a rollout: one table for the decider, the console, replay and everybody outside."""

import msgspec

from penstock.errors import CorruptError
from penstock.events import (
    ApprovalAwaited,
    RollbackCompleted,
    RollbackStarted,
    RolloutAnnounced,
    RolloutCompleted,
    RolloutEvent,
    RolloutHeld,
    RolloutResumed,
    RolloutSuperseded,
    StageApproved,
    StageEntered,
    StageExtended,
    StagePassed,
    VersionQuarantined,
    to_json,
)
from penstock.rollout.state import Phase, RolloutState, StageState, why_of


class IllegalTransitionError(CorruptError):
    """A record holds an event that cannot follow the state before it."""


def evolve(state: RolloutState | None, event: RolloutEvent) -> RolloutState:
    """Return the rollout after `event`.

    Raises:
        IllegalTransitionError: the event cannot follow this state, or its sequence number leaves a gap.
    """
    if isinstance(event, RolloutAnnounced):
        return _announced(state, event)
    if state is None or event.rollout != state.id or event.sequence != state.sequence + 1:
        raise _refusal(state, event)
    after = _moved(state, event)
    return msgspec.structs.replace(
        after, sequence=event.sequence, updated_at=to_json(event)["time"], why=why_of(event.ground)
    )


def _moved(state: RolloutState, event: RolloutEvent) -> RolloutState:
    match state.phase, event:
        case (Phase.ANNOUNCED | Phase.BAKING, ApprovalAwaited()) if state.passed or state.index < 0:
            return msgspec.structs.replace(
                state, phase=Phase.AWAITING_APPROVAL, awaited=event.stage, approved_by=(), missing=event.count
            )
        case Phase.AWAITING_APPROVAL, StageApproved():
            by = (*state.approved_by, event.actor or "")
            return msgspec.structs.replace(state, approved_by=by, missing=event.missing)
        case Phase.AWAITING_APPROVAL, StageEntered() if state.missing == 0:
            return _entered(state, event)
        case (Phase.ANNOUNCED | Phase.BAKING, StageEntered()) if state.passed or state.index < 0:
            return _entered(state, event)
        case Phase.BAKING | Phase.SOAKING, StageExtended():
            return msgspec.structs.replace(state, bake_max=event.bake_max, extended=True)
        case Phase.BAKING | Phase.SOAKING, StagePassed():
            return msgspec.structs.replace(state, passed=True)
        case Phase.HELD, StagePassed() if event.override and state.resumes_to in {Phase.BAKING, Phase.SOAKING}:
            return msgspec.structs.replace(state, phase=state.resumes_to, resumes_to=None, passed=True)
        case Phase.BAKING | Phase.SOAKING | Phase.AWAITING_APPROVAL, RolloutHeld():
            return msgspec.structs.replace(state, phase=Phase.HELD, resumes_to=state.phase)
        case Phase.HELD, RolloutResumed() if state.resumes_to is not None:
            return msgspec.structs.replace(
                state, phase=state.resumes_to, resumes_to=None, extended=False, entered_at=to_json(event)["time"]
            )
        case (Phase.BAKING | Phase.SOAKING, RolloutCompleted()) if state.passed:
            return msgspec.structs.replace(state, phase=Phase.COMPLETED, exposure=1.0)
        case Phase.ROLLING_BACK, VersionQuarantined():
            return msgspec.structs.replace(state, quarantined=True)
        case Phase.ROLLING_BACK, RollbackCompleted():
            return msgspec.structs.replace(state, phase=Phase.ROLLED_BACK, recovered=event.recovered)
        case phase, RollbackStarted() if state.live or phase is Phase.COMPLETED:
            return msgspec.structs.replace(
                state,
                phase=Phase.ROLLING_BACK,
                exposure=0.0,
                rollback=event.id,
                resumes_to=None,
                awaited=None,
                missing=0,
            )
        case _, RolloutSuperseded() if state.live:
            return msgspec.structs.replace(
                state,
                phase=Phase.SUPERSEDED,
                exposure=0.0,
                superseded_by=event.by,
                resumes_to=None,
                awaited=None,
                missing=0,
            )
        case _:
            raise _refusal(state, event)


def _announced(state: RolloutState | None, event: RolloutAnnounced) -> RolloutState:
    settled = state is None or (not state.live and state.phase is not Phase.ROLLING_BACK)
    if event.sequence != 1 or not settled:
        raise _refusal(state, event)
    time = to_json(event)["time"]
    return RolloutState(
        id=event.rollout,
        target=event.target,
        version=event.release.version,
        # Where CI names no author, the identity that announced the release counts as one.
        author=event.release.author or event.actor,
        plan_name=event.plan_name,
        plan_hash=event.plan_hash,
        stages=tuple(
            StageState(stage.name, stage.exposure, stage.approvers, stage.approvals or 0) for stage in event.stages
        ),
        phase=Phase.ANNOUNCED,
        sequence=1,
        announced_at=time,
        updated_at=time,
        why=why_of(event.ground),
        barred=event.barred or (),
        unvouched=bool(event.unvouched),
    )


def _entered(state: RolloutState, event: StageEntered) -> RolloutState:
    return msgspec.structs.replace(
        state,
        phase=Phase.SOAKING if event.soak else Phase.BAKING,
        index=event.index,
        stage=event.stage,
        entry=event.id,
        entered_at=to_json(event)["time"],
        exposure=event.exposure,
        bake_min=event.bake_min,
        bake_max=event.bake_max,
        passed=False,
        extended=False,
        awaited=None,
        approved_by=(),
        missing=0,
        began_at=state.began_at or to_json(event)["time"],
    )


def _refusal(state: RolloutState | None, event: RolloutEvent) -> IllegalTransitionError:
    where = f"{state.id} in phase {state.phase} at sequence {state.sequence}" if state else "no rollout"
    return IllegalTransitionError(f"{event.type} (sequence {event.sequence}, {event.rollout}) cannot follow {where}")
