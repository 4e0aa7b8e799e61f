"""A decision in the making: each event it adds moves the rollout at once, so that the next one sees where it stands."""

from datetime import timedelta
from typing import Any, TypeVar

import msgspec

import penstock
from penstock import ids
from penstock.events import (
    ApprovalAwaited,
    Event,
    Ground,
    RollbackStarted,
    RolloutCompleted,
    RolloutEvent,
    RolloutHeld,
    StageEntered,
    StageJudged,
    StagePassed,
    VersionQuarantined,
    Why,
)
from penstock.plan import Plan, Stage
from penstock.rollout import Phase, RolloutState, evolve
from services.rollout_control.state import DEAD_MAN, TargetState, plan_of

SOURCE = "/penstock/rollout_control"
SOAK = "soak"

E = TypeVar("E", bound=Event)


class Course:
    """Collects the events that one cause leads to.

    Attributes:
        state: the target after them; events: in order.
    """

    def __init__(self, state: TargetState, cause: Event) -> None:
        self.state = state
        self.cause = cause
        self.events: list[Event] = []

    @property
    def rollout(self) -> RolloutState:
        """The target's rollout; only asked for where there is one."""
        assert self.state.rollout is not None
        return self.state.rollout

    @property
    def plan(self) -> Plan:
        """The plan in force."""
        return plan_of(self.state.plan)

    @property
    def stage(self) -> Stage | None:
        """The present stage as the plan has it; None before the first and in the soak."""
        index = self.rollout.index
        return self.plan.stages[index] if 0 <= index < len(self.plan.stages) else None

    def say(self, kind: type[E], **fields: Any) -> E:
        """Add an event with the envelope that its cause gives."""
        name = kind.model_fields["type"].default
        event = kind(
            id=ids.derive(name, self.cause.id, self.cause.target, len(self.events)),
            source=SOURCE,
            target=self.cause.target,
            time=self.cause.time,
            cause=self.cause.id,
            actor=self.cause.actor,
            **fields,
        )
        self.events.append(event)
        return event

    def move(self, kind: type[RolloutEvent], ground: Ground, **fields: Any) -> None:
        """Add a transition of the rollout and take it."""
        before = self.rollout
        event = self.say(
            kind,
            rollout=before.id,
            sequence=before.sequence + 1,
            plan_hash=before.plan_hash,
            code=penstock.__version__,
            ground=ground,
            **fields,
        )
        self.put(rollout=evolve(before, event))

    def put(self, **changes: Any) -> None:
        """Change the state beside the rollout."""
        self.state = msgspec.structs.replace(self.state, **changes)

    def advance(self, ground: Ground) -> None:
        """Go on to what follows the present stage: its approval, itself, the soak, or the end."""
        index = self.rollout.index + 1
        if index < len(self.plan.stages):
            stage, planned = self.rollout.stages[index], self.plan.stages[index].approval
            if stage.approvers:
                why = Ground(why=Why.APPROVAL_REQUIRED)
                count = stage.approvals or (planned.count if planned is not None else 1)
                self.move(ApprovalAwaited, why, stage=stage.name, roles=stage.approvers, count=count)
            else:
                self.enter(index, ground)
        elif index == len(self.plan.stages) and self.plan.soak is not None:
            soak = self.plan.soak
            self.move(
                StageEntered,
                ground,
                stage=SOAK,
                index=index,
                exposure=1.0 - soak.holdback,
                bake_min=soak.windows,
                bake_max=soak.windows,
                soak=True,
            )
            self.watch_silence()
        else:
            self.move(RolloutCompleted, ground)
            self.put(timers={})

    def enter(self, index: int, ground: Ground) -> None:
        """Enter a stage of the plan."""
        stage = self.plan.stages[index]
        self.move(
            StageEntered,
            ground,
            stage=stage.name,
            index=index,
            exposure=stage.exposure,
            audience=stage.audience.model_dump(mode="json", exclude_none=True, exclude_defaults=True),
            bake_min=stage.bake.min,
            bake_max=stage.bake.max,
        )
        self.watch_silence()

    def watch_silence(self) -> None:
        """Arm the dead-man timer from the cause's time on."""
        due = self.cause.time + timedelta(seconds=self.plan.dead_man.after)
        self.put(timers={DEAD_MAN: due.isoformat()})

    def pass_stage(self, ground: Ground, override: bool = False) -> None:
        """End the present stage well and go on."""
        self.move(StagePassed, ground, stage=self.rollout.stage, override=override)
        self.advance(ground)

    def hold(self, ground: Ground, to: tuple[str, ...] = ()) -> None:
        """Stay at the present exposure; `to` are called."""
        self.move(RolloutHeld, ground, stage=self.rollout.stage or self.rollout.awaited or "", to=to)
        self.put(timers={})

    def roll_back(self, ground: Ground) -> None:
        """Take the release back and quarantine its version."""
        before = self.rollout
        self.move(
            RollbackStarted,
            ground,
            stage=before.stage,
            exposure=before.exposure,
            version=before.version,
            began_at=before.began_at,
        )
        self.move(VersionQuarantined, Ground(why=Why.QUARANTINED), version=before.version)
        self.put(quarantined={**self.state.quarantined, before.version: before.id}, timers={})

    def is_in(self, *phases: Phase) -> bool:
        """Whether there is a rollout in one of the phases."""
        return self.state.rollout is not None and self.state.rollout.phase in phases


def ground_of(verdict: StageJudged, why: Why) -> Ground:
    """Return the ground that a verdict gives, the gates that decided it first."""
    gates = sorted(verdict.gates, key=lambda gate: (gate.gate not in verdict.blamed, gate.gate))
    return Ground(why=why, word=verdict.word, gates=tuple(gates), window_end=verdict.window_end)
