"""An event that notification fails on is dead-lettered before its place is committed; deliveries beside it go on."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from penstock.chain.failures import FAULT
from penstock.egress import Egress
from penstock.errors import UnavailableError
from penstock.events import Event, HoldRequested
from penstock.settings import Settings
from services.notification import app as app_module
from services.notification.app import Notification
from services.notification.deliver import Outcome
from services.notification.low_water_marks import LowWaterMarks
from services.runtime.kafka import dead_letters
from services.runtime.kafka.reader import PublicReader
from services.runtime.process.service import system_clock
from tests.support.builders import an
from tests.support.deciders.in_memory import Memory, Topics, record_of
from tests.support.plans import TARGET

BAD = "poison"
PLACE = ("commands", 0)


async def impatient(*about: Any) -> None:
    await dead_letters.dead_letter(*about, patience=0)


@pytest.fixture
def topics() -> Topics:
    return Topics()


@pytest.fixture
def service(tmp_path: Path, topics: Topics, monkeypatch: pytest.MonkeyPatch) -> Notification:
    path = tmp_path / "subscribers.yaml"
    secret = "whsec_" + base64.b64encode(b"k" * 32).decode()
    path.write_text(
        f"subscribers: [{{name: chat, url: 'https://chat.example', types: ['hold.*'], secret: {secret}}}]\n"
    )
    settings = Settings(state=tmp_path, subscribers=path)

    async def delivered(egress: Egress, subscriber: object, event: Event, *_: object) -> Outcome:
        if event.id == BAD + "-in-delivery":
            raise UnicodeEncodeError("ascii", "ü", 0, 1, "planted")
        return Outcome(204)

    monkeypatch.setattr(app_module, "deliver", delivered)
    monkeypatch.setattr(app_module, "dead_letter", impatient)
    found = Notification(settings, system_clock, lambda: 0.0)
    found._appender, found._marks = Memory(settings, topics), LowWaterMarks({})
    return found


async def read(service: Notification, *names: str) -> None:
    reader = PublicReader(service._settings, ["commands"], service._on_event, on_refused=service._on_refused)
    reader._on_records(
        [record_of(an(HoldRequested, id=name, target=TARGET), offset=at) for at, name in enumerate(names)]
    )
    await asyncio.sleep(0.05)


async def stop(service: Notification) -> None:
    await asyncio.gather(*(queue.stop() for queue in service._queues.values()))
    await service._tasks.stop()


def deliveries(topics: Topics) -> list[str]:
    found = [record for (topic, _), some in topics.records.items() if topic == "deliveries" for record in some]
    return [record.value.decode() for record in found]


def outcomes(topics: Topics) -> int:
    return len(deliveries(topics))


async def test_an_event_whose_audience_cannot_be_found_is_dead_lettered_and_its_place_is_passed(
    service: Notification, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = service._audience.of

    def fail(event: Any) -> tuple[str, ...]:
        if event.id == BAD:
            raise LookupError("planted")
        return real(event)

    monkeypatch.setattr(service._audience, "of", fail)
    await read(service, "a", BAD, "b")
    (letter,) = topics.letters()
    assert (letter["origin-offset"], letter["service"]) == ("1", "notification")
    assert letter["reason"].startswith(f"{FAULT}LookupError: planted")
    assert outcomes(topics) == 2
    assert service._marks.all() == {PLACE: 3}, "after a restart it is not met again"
    assert service.alive()
    await stop(service)


async def test_what_a_delivery_raises_is_its_failed_outcome_and_the_others_are_delivered(
    service: Notification, topics: Topics
) -> None:
    await read(service, "a", BAD + "-in-delivery", "b")
    assert outcomes(topics) == 3
    assert sum("UnicodeEncodeError" in text for text in deliveries(topics)) == 1
    assert service.alive()
    assert service._marks.all() == {PLACE: 3}
    await stop(service)


@pytest.mark.parametrize("available", [True, False])
async def test_a_delivery_that_cannot_be_recorded_is_a_dead_letter_or_stops_the_service_in_front_of_it(
    service: Notification, topics: Topics, monkeypatch: pytest.MonkeyPatch, available: bool
) -> None:
    real = app_module.record_of

    def fail(job: Any, *rest: Any) -> Any:
        if job.key[1] == BAD:
            raise OverflowError("planted")
        return real(job, *rest)

    monkeypatch.setattr(app_module, "record_of", fail)
    if not available:
        topics.refused.add("dead-letters")
    await read(service, "a", BAD, "b")
    assert outcomes(topics) == 2
    if available:
        (letter,) = topics.letters()
        assert letter["reason"].startswith(f"not delivered to chat: {FAULT}OverflowError: planted")
        assert service.alive()
        assert service._marks.all() == {PLACE: 3}
    else:
        assert not service.alive()
        assert isinstance(service._queues["chat"]._workers.failure, UnavailableError)
        assert service._marks.all() == {PLACE: 1}, "read again after the restart"
    await stop(service)


async def test_without_the_dead_letter_topic_a_refused_record_stops_the_service_and_is_read_again(
    service: Notification, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics.refused.add("dead-letters")
    monkeypatch.setattr(service._audience, "of", lambda event: {}["planted"])
    await read(service, "a")
    assert not service.alive()
    assert isinstance(service._tasks.failure, UnavailableError)
    assert service._marks.all() == {PLACE: 0}
    await stop(service)
