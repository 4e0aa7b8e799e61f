"""Rollout control's draft of a decision: each event moves the rollout at once, so that the next follows its state."""

from datetime import datetime, timedelta
from typing import Any

import penstock
from penstock.chain.draft import Draft
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

_REARMED_AFTER = 1 / 8
"""Share of the dead-man's time that passes before data arms it again: a record for every window would fill the log."""


class RolloutDraft(Draft[TargetState]):
    """Collects the events that one input leads to."""

    def __init__(self, target: str, state: TargetState, cause: Event) -> None:
        super().__init__(SOURCE, target, state, cause, state.decided)

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

    def transition(self, kind: type[RolloutEvent], ground: Ground, **fields: Any) -> None:
        """Add a transition of the rollout, and move the rollout by it."""
        before = self.rollout
        event = self.add(
            kind,
            rollout=before.id,
            sequence=before.sequence + 1,
            plan_hash=before.plan_hash,
            code=penstock.__version__,
            ground=ground,
            **fields,
        )
        self.put(rollout=evolve(before, event))

    def advance(self, ground: Ground) -> None:
        """Go on to what follows the present stage: its approval, itself, the soak, or the end."""
        index = self.rollout.index + 1
        if index < len(self.plan.stages):
            stage, planned = self.rollout.stages[index], self.plan.stages[index].approval
            if stage.approvers:
                why = Ground(why=Why.APPROVAL_REQUIRED)
                count = stage.approvals or (planned.count if planned is not None else 1)
                self.transition(ApprovalAwaited, why, stage=stage.name, roles=stage.approvers, count=count)
                self.guard_what_waits()
            else:
                self.enter(index, ground)
        elif index == len(self.plan.stages) and self.plan.soak is not None:
            soak = self.plan.soak
            self.transition(
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
            self.transition(RolloutCompleted, ground)
            self.put(timers={})

    def enter(self, index: int, ground: Ground) -> None:
        """Enter a stage of the plan."""
        stage = self.plan.stages[index]
        self.transition(
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
        """Arm the dead-man timer: the stage was entered or resumed."""
        self._arm_dead_man(self._dead_man_due)

    def telemetry_seen(self) -> None:
        """Let the dead-man timer wait again, where it is armed: a gate was measured."""
        armed = self.state.timers.get(DEAD_MAN)
        if armed is None:
            return
        gained = self._dead_man_due - datetime.fromisoformat(armed)
        # Records of versions that armed it with every verdict are decided again as they were.
        least = self.plan.dead_man.after * _REARMED_AFTER if self.cause.received is not None else 0.0
        if gained > timedelta(seconds=least):
            self._arm_dead_man(self._dead_man_due)

    def guard_what_waits(self) -> None:
        """Keep the dead-man timer while the rollout waits, if it can still do something: roll the release back."""
        if self.plan.dead_man.action != "rollback" or not self.rollout.exposure:
            self.put(timers={})

    @property
    def _dead_man_due(self) -> datetime:
        return self.at + timedelta(seconds=self.plan.dead_man.after)

    def _arm_dead_man(self, due: datetime) -> None:
        self.put(timers={DEAD_MAN: due.isoformat()})

    def pass_stage(self, ground: Ground, override: bool = False) -> None:
        """Pass the present stage and go on."""
        self.transition(StagePassed, ground, stage=self.rollout.stage, override=override)
        self.advance(ground)

    def hold(self, ground: Ground, to: tuple[str, ...] = ()) -> None:
        """Stay at the present exposure; `to` are called."""
        self.transition(RolloutHeld, ground, stage=self.rollout.stage or self.rollout.awaited or "", to=to)
        self.guard_what_waits()

    def roll_back(self, ground: Ground) -> None:
        """Roll the release back and quarantine its version."""
        before = self.rollout
        self.transition(
            RollbackStarted,
            ground,
            stage=before.stage,
            exposure=before.exposure,
            version=before.version,
            began_at=before.began_at,
        )
        self.transition(VersionQuarantined, Ground(why=Why.QUARANTINED), version=before.version)
        self.put(quarantined={**self.state.quarantined, before.version: before.id}, timers={})

    def is_in(self, *phases: Phase) -> bool:
        """Whether there is a rollout in one of the phases."""
        return self.state.rollout is not None and self.state.rollout.phase in phases


def ground_of(verdict: StageJudged, why: Why) -> Ground:
    """Return the ground that a verdict gives, the gates that decided it first."""
    gates = sorted(verdict.gates, key=lambda gate: (gate.gate not in verdict.blamed, gate.gate))
    return Ground(why=why, word=verdict.word, gates=tuple(gates), window_end=verdict.window_end)
