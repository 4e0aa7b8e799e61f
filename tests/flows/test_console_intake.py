"""The Kafka door of the console: what is published before what is committed, and where bad records go."""

import asyncio
import json

import pytest
from aiokafka import ConsumerRecord

from penstock.errors import OversizeError, UnavailableError
from penstock.events import PlanRegistered
from penstock.settings import Settings
from services.console.intake import topic as intake_topic
from services.console.intake.topic import IntakeTopic
from services.console.read_models.projection import Projection
from tests.support.builders import an
from tests.support.plans import SHORT, TARGET


def record(value, headers=()):
    return ConsumerRecord(
        topic="deploy-intake",
        partition=3,
        offset=7,
        timestamp=0,
        timestamp_type=0,
        key=None,
        value=value,
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
        headers=headers,
    )


def deployed(**custom):
    document = {
        "context": {
            "specversion": "0.5.1",
            "id": "d-1",
            "source": "/ci",
            "type": "dev.cdevents.service.deployed.0.3.0",
            "timestamp": "2026-03-02T14:00:00Z",
        },
        "subject": {"id": "shop", "content": {"environment": {"id": "staging"}, "artifactId": "pkg:oci/shop@1.1"}},
        "customData": {"penstock": custom},
    }
    return json.dumps(document).encode()


class Kafka:
    """What happens to records, in order; `fails` publishes fail first."""

    def __init__(self, fails=0):
        self.did = []
        self.fails = fails

    async def publish(self, topic, event):
        if self.fails:
            self.fails -= 1
            self.did.append("failed")
            raise UnavailableError("no broker")
        self.did.append((topic, event.id, event.target))

    async def bury(self, record, reason):
        self.did.append(("dead-letters", record.offset, reason))

    async def commit(self, offsets):
        self.did.append(("commit", *offsets.values()))

    @property
    def consumer(self):
        return self


class Message:
    """What FastStream hands to the handler."""

    def __init__(self, raw):
        self.raw_message = raw


@pytest.fixture
def known():
    projection = Projection()
    projection.receive("rollouts", 0, 0, an(PlanRegistered, target=TARGET, name="banner", plan_text=SHORT))
    return projection


def door(known, kafka):
    topic = IntakeTopic(Settings(), known, kafka.publish, kafka.bury)
    topic._subscriber = kafka
    return topic


async def test_a_record_is_committed_after_its_deploy_is_acknowledged(known):
    kafka = Kafka()
    await door(known, kafka)._handle(Message(record(deployed())))
    assert kafka.did == [("deploys", "d-1", TARGET), ("commit", 8)]


async def test_a_bad_record_is_committed_after_its_dead_letter_is_acknowledged(known):
    kafka = Kafka()
    await door(known, kafka)._handle(Message(record(b"nonsense")))
    (buried, committed) = kafka.did
    assert buried[:2] == ("dead-letters", 7)
    assert committed == ("commit", 8)


async def test_while_kafka_is_away_nothing_is_committed_and_the_deploy_is_tried_again(known, monkeypatch):
    monkeypatch.setattr(intake_topic, "_AFTER_ERROR_S", 0.0)
    kafka = Kafka(fails=3)
    await door(known, kafka)._handle(Message(record(deployed())))
    assert kafka.did == ["failed", "failed", "failed", ("deploys", "d-1", TARGET), ("commit", 8)]


async def test_a_deploy_that_no_broker_takes_becomes_a_dead_letter_and_holds_nothing_up(known):
    class Small(Kafka):
        async def publish(self, topic, event):
            raise OversizeError(f"record for {topic}", [])

    kafka = Small()
    await door(known, kafka)._handle(Message(record(deployed())))
    (buried, committed) = kafka.did
    assert buried[:2] == ("dead-letters", 7)
    assert "record for deploys" in buried[2]
    assert committed == ("commit", 8)


async def test_a_stop_between_deploy_and_commit_repeats_the_same_deploy(known):
    class Dies(Kafka):
        async def commit(self, offsets):
            raise asyncio.CancelledError

    first, second = Dies(), Kafka()
    with pytest.raises(asyncio.CancelledError):
        await door(known, first)._handle(Message(record(deployed())))
    await door(known, second)._handle(Message(record(deployed())))
    assert first.did[0] == second.did[0] == ("deploys", "d-1", TARGET)


@pytest.mark.parametrize(
    "value", [None, b"", b"null", b"[]", b"[" * 50_000, b"\x00\xff", deployed(plan="none"), deployed(palette="x")]
)
async def test_no_record_stops_the_door(known, value):
    kafka = Kafka()
    await door(known, kafka)._handle(Message(record(value, (("a", None), ("b", b"\xff")))))
    assert [what[0] for what in kafka.did] == ["dead-letters", "commit"]


async def test_what_the_code_raises_for_one_record_is_its_dead_letter_and_the_next_is_announced(known, monkeypatch):
    real = intake_topic.deploy_of

    def fail(received, *rest):
        if received.data["customData"]["penstock"].get("notes") == "poison":
            raise AttributeError("planted")
        return real(received, *rest)

    monkeypatch.setattr(intake_topic, "deploy_of", fail)
    kafka = Kafka()
    follower = door(known, kafka)
    await follower._handle(Message(record(deployed(notes="poison"))))
    await follower._handle(Message(record(deployed())))
    assert [what[0] for what in kafka.did] == ["dead-letters", "commit", "deploys", "commit"]
    assert "AttributeError: planted" in kafka.did[0][2]
    assert follower.alive()


async def test_without_its_dead_letter_a_record_is_not_committed_and_no_later_one_is_read(known):
    class NoLetters(Kafka):
        async def bury(self, record, reason):
            raise UnavailableError("the dead letter cannot be kept")

    kafka = NoLetters()
    follower = door(known, kafka)
    with pytest.raises(UnavailableError):
        await follower._handle(Message(record(b"nonsense")))
    await follower._handle(Message(record(deployed())))
    assert kafka.did == []
    assert not follower.alive()
