"""Rollback execution's draft of a decision: the steps, timers and events that one input leads to."""

from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

import msgspec

from penstock import ids
from penstock.chain.draft import Draft
from penstock.events import (
    Event,
    RollbackEscalated,
    RollbackExecuted,
    StepCompleted,
    StepFailed,
    StepStarted,
    StepTakenOver,
)
from services.rollback_execution.state import Running, State, Step, StepPhase, StepState
from services.rollback_execution.steps.webhook import KIND as WEBHOOK

SOURCE = "/penstock/rollback_execution"
LEASE = 20.0
"""Seconds without an answer from the executor of an attempt until another copy may take over; longer than a POST."""

E = TypeVar("E", bound=Event)


class RollbackDraft(Draft[State]):
    """Collects the events that one input leads to.

    Attributes:
        now: time of the events: when the input was received, but never before earlier events of this rollback.
    """

    def __init__(self, target: str, state: State, cause: Event) -> None:
        super().__init__(SOURCE, target, state, cause)
        self.now = max(state.running.at, self.at) if state.running else self.at

    @property
    def run(self) -> Running:
        """The rollback under way; only asked for where there is one."""
        assert self.state.running is not None
        return self.state.running

    @property
    def step(self) -> Step:
        """The present step; only asked for where there is one."""
        assert self.run.step is not None
        return self.run.step

    def put_run(self, **changes: Any) -> None:
        """Change the rollback under way."""
        self.put(running=msgspec.structs.replace(self.run, at=self.now, **changes))

    def put_doing(self, **changes: Any) -> None:
        """Change the present step."""
        self.put_run(doing=msgspec.structs.replace(self.run.doing, **changes))

    def arm(self, timer: str, seconds: float) -> datetime:
        """Arm a timer from now on; return when it is due."""
        due = self.now + timedelta(seconds=seconds)
        self.put(timers={**self.state.timers, timer: due})
        return due

    def disarm(self, *timers: str) -> None:
        """Disarm timers."""
        self.put(timers={name: due for name, due in self.state.timers.items() if name not in timers})

    def report(self, kind: type[E], key: tuple[str | int, ...], cause: str, /, **fields: Any) -> E:
        """Add an event of this rollback; its id depends on the rollback and `key` alone, whatever input led to it."""
        name = kind.model_fields["type"].default
        return self.add(
            kind,
            id=ids.derive(name, self.run.id, *key),
            time=self.now,
            rollout=self.run.rollout,
            cause=cause,
            actor=None,
            **fields,
        )

    def start_attempt(self, executor: str) -> None:
        """Begin the next attempt at the present step, for this executor; its first one sets the deadline."""
        run, step, before = self.run, self.step, self.run.doing
        attempt = before.attempt + 1
        deadline = before.deadline or self.arm("step", step.deadline)
        self.disarm("retry")
        if step.kind == WEBHOOK:
            self.arm("lease", LEASE)
        place = {"step": step.name, "index": run.index, "attempt": attempt, "executor": executor}
        key, cause = (run.index, attempt), before.event or run.before
        if before.executor in {"", executor}:
            reported: Event = self.report(
                StepStarted,
                key,
                cause,
                **place,
                kind=step.kind,
                deadline=deadline,
                rollback=run.id,
                version=run.version,
            )
        else:
            reported = self.report(StepTakenOver, key, cause, **place, former=before.executor)
        self.put_doing(
            phase=StepPhase.RUNNING, attempt=attempt, executor=executor, deadline=deadline, event=reported.id
        )

    def complete_step(self, attempt: int, executor: str, cause: str, **detail: Any) -> None:
        """The present step has had its effect."""
        run = self.run
        place = {"step": self.step.name, "index": run.index, "attempt": attempt, "executor": executor}
        self._next_step(self.report(StepCompleted, (run.index,), cause, **place, detail=detail))

    def fail_attempt(self, reason: str) -> None:
        """The present attempt failed; another may follow."""
        run = self.run
        reported = self.report(
            StepFailed, (run.index, run.doing.attempt), run.doing.event, **self._place(), reason=reason, final=False
        )
        self.disarm("lease")
        self.put_doing(phase=StepPhase.WAITING, event=reported.id)

    def fail_step(self, reason: str) -> None:
        """The present step is given up: a person is called, and the next step begins, for it may still help."""
        run = self.run
        cause = run.doing.event or run.before
        failed = self.report(StepFailed, (run.index, "final"), cause, **self._place(), reason=reason, final=True)
        self.escalate("step", f"Step {self.step.name} of the rollback failed: {reason}.", failed.id, self.step.name)
        self._next_step(failed)

    def escalate(
        self, what: Literal["containment", "step", "recovery"], reason: str, cause: str, step: str | None = None
    ) -> None:
        """Call a person."""
        key = (what, self.run.index) if step else (what,)
        self.report(RollbackEscalated, key, cause, what=what, step=step, reason=reason, to=self.run.needs.escalate_to)

    def execute(self, recovered: bool, cause: str) -> None:
        """Nothing is left to do."""
        seconds = self.run.contained if self.run.safe else None
        self.report(RollbackExecuted, (), cause, contained_seconds=seconds, recovered=recovered)
        self.put(running=None, executed=self.run.id, live=False, timers={})

    def _place(self) -> dict[str, Any]:
        doing = self.run.doing
        return {
            "step": self.step.name,
            "index": self.run.index,
            "attempt": max(1, doing.attempt),
            "executor": doing.executor,
        }

    def _next_step(self, before: Event) -> None:
        self.disarm("step", "retry", "lease")
        self.put_run(index=self.run.index + 1, doing=StepState(), before=before.id)
