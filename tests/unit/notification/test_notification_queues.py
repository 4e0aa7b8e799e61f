"""Notification's parts: the schedule, the audience, what the record leaves to do, marks, and a subscriber's lane."""

import asyncio
import base64
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from penstock.events import (
    DeliveryFailed,
    DeliverySucceeded,
    RollbackEscalated,
    RollbackStarted,
    RolloutAnnounced,
    RolloutHeld,
    StageEntered,
)
from penstock.subscribers import Subscribers, load_subscribers
from services.notification.audience import Audience
from services.notification.deliver import Outcome
from services.notification.job import Job, Position, job_of, parse_position
from services.notification.ledger import Ledger
from services.notification.low_water_marks import LowWaterMarks
from services.notification.records import record_of
from services.notification.schedule import HORIZON, PAUSES, SPREAD, pause_after
from services.notification.subscriber_queue import MOST_WAITING, WORKERS, SubscriberQueue
from tests.support.builders import an
from tests.support.metrics.windows import moment
from tests.support.plans import SHORT

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
PLACE = Position("rollouts", 3, 17)


def job(attempt: int = 1, number: int = 1, due: datetime | None = None, name: str = "chat") -> Job:
    return Job((name, f"event-{number}"), "rollback.started", "a/b/c", "ro-1", PLACE, attempt, due or moment())


def failed(attempt: int = 1, status: int | None = 503, again: bool = True, second: float = 0) -> DeliveryFailed:
    record = record_of(job(attempt), "endpoint", Outcome(status, "no", again), moment(second), 0.1, 0.0)
    assert isinstance(record, DeliveryFailed)
    return record


def heard(attempt: int = 1, second: float = 0) -> DeliverySucceeded:
    record = record_of(job(attempt), "endpoint", Outcome(204), moment(second), 0.1, 0.0)
    assert isinstance(record, DeliverySucceeded)
    return record


def test_the_schedule_is_that_of_standard_webhooks() -> None:
    assert [pause_after(attempt, 0.0) for attempt in range(1, 10)] == [
        5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400
    ]  # fmt: skip
    assert pause_after(10, 0.0) is None


def test_jitter_only_lengthens_a_pause_and_only_by_a_tenth() -> None:
    assert pause_after(1, 1.0) == pytest.approx(5.5)
    assert pause_after(1, 0.5) == pytest.approx(5.25)
    assert pytest.approx(sum(PAUSES) * (1 + SPREAD)) == HORIZON


def subscribers(tmp_path: Path) -> Subscribers:
    path = tmp_path / "subscribers.yaml"
    path.write_text(f"""
subscribers:
  - {{name: chat, url: "https://chat.example", types: ["rollback.*"], secret: {SECRET}}}
  - {{name: pager, url: "https://pager.example", secret: {SECRET}}}
""")
    return load_subscribers(path)


def test_the_file_and_the_rollouts_plan_say_who_is_told_and_nobody_twice(tmp_path: Path) -> None:
    plan = (
        SHORT
        + """
communication:
  - {events: ["rollback.*"], to: chat}
  - {events: ["rollback.escalated"], to: pager}
  - {events: ["rollback.escalated"], to: nobody}
"""
    )
    audience = Audience(subscribers(tmp_path))
    announced = an(RolloutAnnounced, plan_text=plan)
    escalated = an(RollbackEscalated, rollout=announced.rollout, to=[])
    assert audience.of(escalated) == ("chat",)
    audience.remember(announced)
    assert audience.of(escalated) == ("chat", "pager", "nobody")
    assert audience.of(an(RollbackStarted, rollout=announced.rollout)) == ("chat",)
    assert audience.of(an(RollbackEscalated, rollout="ro-another", to=[])) == ("chat",)
    assert audience.of(an(StageEntered)) == ()


def test_an_escalation_reaches_those_whom_it_calls(tmp_path: Path) -> None:
    audience = Audience(subscribers(tmp_path))
    assert audience.of(an(RollbackEscalated, to=["pager", "payments-on-call"])) == ("chat", "pager", "payments-on-call")


def test_a_hold_reaches_those_whom_the_plan_calls_for_missing_data(tmp_path: Path) -> None:
    audience = Audience(subscribers(tmp_path))
    assert audience.of(an(RolloutHeld)) == ()
    assert audience.of(an(RolloutHeld, to=["pager"])) == ("pager",)


def test_a_plan_that_cannot_be_read_names_nobody_and_harms_nobody(tmp_path: Path) -> None:
    audience = Audience(subscribers(tmp_path))
    audience.remember(an(RolloutAnnounced, plan_text="version: 99"))
    assert audience.of(an(RollbackStarted)) == ("chat",)


def test_a_failed_attempt_leaves_the_next_one_to_do() -> None:
    left = job_of(failed(second=10))
    assert left is not None
    assert (left.attempt, left.due, left.position) == (2, moment(15), PLACE)
    assert left == job().after(failed(second=10))


def test_a_position_survives_its_text() -> None:
    assert parse_position(str(Position("a:b", 1, 2))) == Position("a:b", 1, 2)


def test_the_ledger_keeps_what_is_pending_and_knows_what_is_not() -> None:
    ledger = Ledger()
    assert not ledger.knows(("chat", "event-1"))
    ledger.record(failed(1))
    assert ledger.knows(("chat", "event-1"))
    assert [left.attempt for left in ledger.pending.values()] == [2]
    ledger.record(heard(2))
    assert ledger.pending == {}
    assert ledger.knows(("chat", "event-1"))


def test_an_attempt_without_another_is_settled() -> None:
    ledger = Ledger()
    ledger.record(failed(9))
    assert ledger.pending
    ledger.record(failed(10))
    assert ledger.pending == {}
    assert ledger.knows(("chat", "event-1"))


def test_410_disables_the_address_and_a_later_success_enables_it() -> None:
    ledger = Ledger()
    ledger.record(failed(1, status=410, again=False, second=5))
    assert ledger.is_gone("chat", "endpoint")
    assert not ledger.is_gone("chat", "another")
    assert not ledger.is_gone("pager", "endpoint")
    ledger.record(heard(second=4))
    assert ledger.is_gone("chat", "endpoint")
    ledger.record(heard(second=6))
    assert not ledger.is_gone("chat", "endpoint")


def test_marks_stay_below_what_has_no_outcome_yet() -> None:
    marks = LowWaterMarks({("rollouts", 3): 10})
    assert marks.all() == {("rollouts", 3): 10}
    places = [Position("rollouts", 3, offset) for offset in (10, 11, 12)]
    for place in places:
        marks.advance(place)
    marks.open(places[0])
    marks.open(places[1])
    marks.open(places[1])
    assert marks.all() == {("rollouts", 3): 10}
    marks.close(places[1])
    marks.close(places[0])
    assert marks.all() == {("rollouts", 3): 11}
    marks.close(places[1])
    marks.close(places[1])
    assert marks.all() == {("rollouts", 3): 13}


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = moment()

    def __call__(self) -> datetime:
        return self.now


class Worker:
    """Attempts as a test wants them."""

    def __init__(self, following: Callable[[Job], Job | None] = lambda _: None) -> None:
        self.done: list[Job] = []
        self.begun = 0
        self.open = asyncio.Event()
        self.open.set()
        self._following = following

    async def __call__(self, job: Job) -> Job | None:
        self.begun += 1
        await self.open.wait()
        self.done.append(job)
        return self._following(job)


async def run_pending() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_lane_works_off_what_is_due_and_leaves_the_rest() -> None:
    clock, worker = Clock(), Worker()
    lane = SubscriberQueue(clock, worker)
    lane.start()
    lane.offer(job(number=2, due=moment(60)))
    lane.offer(job(number=1))
    await run_pending()
    assert [one.key[1] for one in worker.done] == ["event-1"]
    clock.now += timedelta(seconds=61)
    lane.offer(job(number=3))
    await run_pending()
    assert sorted(one.key[1] for one in worker.done) == ["event-1", "event-2", "event-3"]
    await lane.stop()


async def test_a_failed_attempt_comes_back_when_its_pause_is_over() -> None:
    clock, worker = Clock(), Worker(lambda one: job(2, due=moment(5)) if one == job() else None)
    lane = SubscriberQueue(clock, worker)
    lane.start()
    lane.offer(job())
    await run_pending()
    assert [one.attempt for one in worker.done] == [1]
    clock.now = moment(6)
    lane.offer(job(number=9))
    await run_pending()
    assert sorted(one.attempt for one in worker.done) == [1, 1, 2]
    await lane.stop()


async def test_a_hanging_subscriber_holds_a_few_workers_of_its_own_lane_only() -> None:
    clock, hanging, other = Clock(), Worker(), Worker()
    hanging.open.clear()
    slow, quick = SubscriberQueue(clock, hanging), SubscriberQueue(clock, other)
    slow.start()
    quick.start()
    for number in range(MOST_WAITING + WORKERS):
        slow.offer(job(number=number))
        await asyncio.sleep(0)
    quick.offer(job())
    await run_pending()
    assert hanging.begun == WORKERS
    assert len(other.done) == 1
    assert slow.is_full()
    assert not quick.is_full()
    hanging.open.set()
    await run_pending()
    assert not slow.is_full()
    await slow.stop()
    await quick.stop()


def test_a_records_id_depends_on_whom_what_and_which_attempt() -> None:
    ids = {failed(1).id, failed(2).id, heard(1).id, heard(3).id}
    assert failed(1).id == heard(1).id
    assert len(ids) == 3
