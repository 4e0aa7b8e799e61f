"""A morning at the console, for its pages: five rollouts on five flags, told by their events alone."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from penstock import ids
from penstock.events import (
    ApprovalAwaited,
    Authority,
    Event,
    ExposureChanged,
    ExposureContained,
    GateVerdict,
    Ground,
    NoDataReason,
    PlanRegistered,
    RecoveryVerified,
    Release,
    RollbackCompleted,
    RollbackExecuted,
    RollbackStarted,
    RolloutAnnounced,
    RolloutCompleted,
    RolloutHeld,
    Side,
    StageApproved,
    StageEntered,
    StageJudged,
    StageOutline,
    StagePassed,
    StepCompleted,
    StepStarted,
    VersionQuarantined,
    Why,
    Word,
)
from penstock.plan import hash_of
from services.console.read_models.projection import Projection
from tests.support.plans import SHORT, with_approval, with_soak

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
E = TypeVar("E", bound=Event)


class Teller:
    """Tells one rollout's events, one second a step."""

    def __init__(self, flag: str, version: str, ago: float, plan: str = SHORT, author: str = "mira") -> None:
        self.target = f"staging/shop/{flag}"
        self.plan = plan.replace("flag: banner", f"flag: {flag}").replace("name: banner", f"name: {flag}")
        self.version = version
        self.author = author
        self.rollout = ids.rollout_id("/ci", f"{flag}-{version}")
        self.now = NOW - timedelta(seconds=ago)
        self.sequence = 0
        self.events: list[tuple[str, Event]] = []
        self.entry = ""
        self.judged = 0

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def say(self, topic: str, kind: type[E], /, **fields: Any) -> E:
        """Say one event of the rollout."""
        name = kind.model_fields["type"].default
        event_id = ids.derive(name, self.rollout, len(self.events))
        common = {"id": event_id, "source": f"/penstock/{topic}", "target": self.target, "time": self.now}
        event = kind(**{**common, "rollout": self.rollout, **fields})
        self.events.append((topic, event))
        return event

    def move(self, kind: type[E], why: Why, ground: dict[str, Any] | None = None, **fields: Any) -> E:
        """Say one transition."""
        self.sequence += 1
        return self.say(
            "rollouts",
            kind,
            sequence=self.sequence,
            plan_hash=hash_of(self.plan),
            code="0.1.0",
            ground=Ground(why=why, **(ground or {})),
            **fields,
        )

    def announce(self, stages: tuple[StageOutline, ...], bare: bool = False) -> None:
        """Begin; a bare release says nothing but what it must."""
        registered = {"name": self.target, "plan_hash": hash_of(self.plan), "plan_text": self.plan, "rollout": None}
        self.say("rollouts", PlanRegistered, **registered, actor="pat")
        release = Release(
            service="shop",
            version=self.version,
            artifact=f"pkg:oci/shop@{self.version}",
            notes="https://shop.example.com/notes/" + self.version,
            changes=("4f1c2aa Save cards", "9b7e001 New form"),
            ticket="SHOP-1841",
            author=self.author,
        )
        if bare:
            release = Release(service="shop", version=self.version)
        self.move(
            RolloutAnnounced,
            Why.DEPLOYED,
            release=release,
            plan_name=self.target.rpartition("/")[2],
            plan_text=self.plan,
            stages=stages,
            actor="ci",
        )

    def enter(self, stage: str, index: int, exposure: float, soak: bool = False, **fields: Any) -> None:
        """Enter a stage, and have the flag follow."""
        before = self.events[-1][1].id
        why = Why.GATES_PASSED if index else Why.DEPLOYED
        entered = self.move(
            StageEntered,
            why,
            stage=stage,
            index=index,
            exposure=exposure,
            bake_min=8,
            bake_max=40,
            soak=soak,
            cause=before,
            **fields,
        )
        self.entry, self.judged = entered.id, 0
        self.expose(exposure, entered.id)

    def expose(self, exposure: float, entry: str) -> None:
        """Have flag control report the exposure."""
        self.say(
            "flag-changes",
            ExposureChanged,
            entry=entry,
            exposure=exposure,
            previous=0.0,
            version=max(1, len(self.events)),
            revision=ids.derive("revision", entry),
            cause=entry,
        )

    def judge(self, stage: str, windows: int, p99: float, errors: float, breach: bool = False, **over: Any) -> None:
        """Judge so many windows around true relative differences; the last one breaches if asked to."""
        for number in range(windows):
            self.wait(1)
            self.judged += 1
            last = number == windows - 1
            gates = (
                _gate("p99", "quantile", p99, self.judged, 0.60, 0.318, "s", breach and last),
                _gate("errors", "ratio", errors, self.judged, 0.50, 0.011, None, False),
            )
            if over.get("silent"):
                nothing = {"word": Word.NO_DATA, "no_data": NoDataReason.METRIC_NEVER_SEEN, "estimate": None}
                gates = (gates[0], gates[1].model_copy(update={**nothing, "low": None, "high": None}))
            word = Word.BREACH if breach and last else _worst(gates)
            self.say(
                "gate-verdicts",
                StageJudged,
                stage=stage,
                entry=self.entry,
                window=ids.derive("window", self.rollout, self.judged, stage),
                window_end=self.now,
                judged=self.judged,
                word=word,
                final=last and word is not Word.INCONCLUSIVE,
                gates=gates,
                blamed=("p99",) if breach and last else (),
                blocked_by=Authority.ROLLBACK if breach and last else None,
                judge="1",
                plan_hash=hash_of(self.plan),
            )

    def ground(self) -> dict[str, Any]:
        """The last verdict as a ground."""
        verdict = next(event for _, event in reversed(self.events) if isinstance(event, StageJudged))
        return {"word": verdict.word, "gates": verdict.gates, "window_end": verdict.window_end}


STAGES = (StageOutline(name="canary", exposure=0.25), StageOutline(name="half", exposure=0.5))
APPROVED = (STAGES[0], StageOutline(name="half", exposure=0.5, approvers=("release-manager",)))


def promoted() -> Teller:
    """A good release that reached everyone."""
    t = Teller("search", "3.1.0", 900)
    t.announce(STAGES)
    t.enter("canary", 0, 0.25)
    t.judge("canary", 14, 0.02, 0.05)
    t.move(StagePassed, Why.GATES_PASSED, t.ground(), stage="canary")
    t.enter("half", 1, 0.5)
    t.judge("half", 10, 0.01, -0.04)
    t.move(StagePassed, Why.GATES_PASSED, t.ground(), stage="half")
    t.move(RolloutCompleted, Why.GATES_PASSED, t.ground())
    t.expose(1.0, t.events[-1][1].id)
    return t


def rolled_back() -> Teller:
    """A bad release that was taken back in its second stage."""
    t = Teller("banner", "2.4.0", 120)
    t.announce(STAGES)
    t.enter("canary", 0, 0.25)
    t.judge("canary", 12, 0.12, 0.1)
    t.move(StagePassed, Why.GATES_PASSED, t.ground(), stage="canary")
    t.enter("half", 1, 0.5)
    t.judge("half", 9, 1.87, 0.08, breach=True)
    verdict = t.events[-1][1].id
    began = next(event.time for _, event in t.events if isinstance(event, StageEntered))
    started = t.move(
        RollbackStarted,
        Why.GATE_BREACHED,
        t.ground(),
        stage="half",
        exposure=0.5,
        version="2.4.0",
        began_at=began,
        cause=verdict,
    )
    t.move(VersionQuarantined, Why.GATE_BREACHED, version="2.4.0", cause=verdict)
    t.expose(0.0, started.id)
    step = {"step": "flag", "index": 0, "executor": "rollback-0", "cause": started.id}
    t.say("rollback-progress", StepStarted, **step, kind="flag", deadline=t.now + timedelta(seconds=10))
    t.say("rollback-progress", StepCompleted, **step)
    contained = {"version": 9, "streams": 24, "seconds": 0.031, "within": 5.0, "cause": started.id}
    t.say("rollback-progress", ExposureContained, **contained)
    t.wait(2)
    t.say("rollback-progress", RecoveryVerified, windows=("a", "b"), cause=started.id)
    executed = {"contained_seconds": 0.031, "recovered": True, "cause": started.id}
    ended = t.say("rollback-progress", RollbackExecuted, **executed)
    t.move(RollbackCompleted, Why.ROLLBACK_EXECUTED, recovered=True, cause=ended.id)
    return t


def baking() -> Teller:
    """A release in the middle of its first stage."""
    t = Teller("cart", "1.9.2", 6)
    t.announce(STAGES, bare=True)
    t.enter("canary", 0, 0.25)
    t.judge("canary", 5, 0.31, 0.12)
    return t


def awaiting() -> Teller:
    """A release that waits for a release manager."""
    t = Teller("checkout", "5.0.0", 60, with_approval())
    t.announce(APPROVED)
    t.enter("canary", 0, 0.25)
    t.judge("canary", 16, 0.03, 0.02)
    t.move(StagePassed, Why.GATES_PASSED, t.ground(), stage="canary")
    t.move(ApprovalAwaited, Why.APPROVAL_REQUIRED, stage="half", roles=("release-manager",))
    t.judge("canary", 8, 0.03, 0.02)
    return t


def held() -> Teller:
    """A release that is held, for one of its gates has no data."""
    t = Teller("prices", "0.8.1", 50)
    t.announce(STAGES)
    t.enter("canary", 0, 0.25)
    t.judge("canary", 40, 0.04, 0.0, silent=True)
    t.move(RolloutHeld, Why.NO_DATA, t.ground(), stage="canary", cause=t.events[-1][1].id)
    return t


def soaking() -> Teller:
    """An approved release in its soak."""
    t = Teller("login", "7.2.0", 40, with_soak(with_approval()))
    t.announce(APPROVED)
    t.enter("canary", 0, 0.25)
    t.judge("canary", 10, 0.02, 0.02)
    t.move(StagePassed, Why.GATES_PASSED, t.ground(), stage="canary")
    t.move(ApprovalAwaited, Why.APPROVAL_REQUIRED, stage="half", roles=("release-manager",))
    t.move(StageApproved, Why.APPROVED, {"text": "Notes are in order."}, stage="half", missing=0, actor="ann")
    t.enter("half", 1, 0.5)
    t.judge("half", 10, 0.01, 0.01)
    t.move(StagePassed, Why.GATES_PASSED, t.ground(), stage="half")
    t.enter("soak", 2, 0.95, soak=True)
    t.judge("soak", 3, 0.01, 0.01)
    return t


TELLERS = (promoted, rolled_back, held, awaiting, soaking, baking)


def told() -> Iterator[tuple[str, Event]]:
    """Yield every event with its topic, by time."""
    everything = [pair for teller in TELLERS for pair in teller().events]
    yield from sorted(everything, key=lambda pair: pair[1].time)


def project() -> Projection:
    """Return what a console knows that heard it all."""
    projection = Projection()
    for offset, (topic, event) in enumerate(told()):
        projection.receive(topic, 3, offset, event)
    return projection


def _gate(
    name: str, kind: str, truth: float, n: int, limit: float, base: float, unit: str | None, breach: bool
) -> GateVerdict:
    wobble = 0.35 * math.sin(n * 1.7 + len(name)) / n
    width = 2.2 / math.sqrt(n)
    estimate, low, high = truth + wobble, truth + wobble - width, truth + wobble + 1.4 * width
    passed = high < limit * 1.6 and n >= 8
    word = Word.BREACH if breach else (Word.PASSED if passed else Word.INCONCLUSIVE)
    return GateVerdict(
        gate=name,
        kind=kind,
        word=word,
        final=breach or passed,
        canary=Side(n=212.0, value=base * (1 + estimate)),
        baseline=Side(n=640.0, value=base),
        estimate=estimate,
        low=low,
        high=high,
        absolute=base * estimate,
        absolute_low=base * low,
        absolute_high=base * high,
        unit=unit,
        tolerance=limit,
        tolerance_effective=limit * 1.09 if kind == "quantile" else limit,
        evidence=4.83 if breach else truth * n * 0.2,
        evidence_pass=1.0,
        threshold=2.78,
        threshold_pass=1.78,
        windows_needed=None if breach or passed else max(1, 14 - n),
        detail={"limit_absolute": base * limit},
    )


def _worst(gates: tuple[GateVerdict, ...]) -> Word:
    order = [Word.BREACH, Word.NO_DATA, Word.INCONCLUSIVE, Word.PASSED]
    return min((gate.word for gate in gates), key=order.index)
