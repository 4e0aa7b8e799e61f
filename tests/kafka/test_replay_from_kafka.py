"""Replay on a real Kafka: the logs are found, read whole and decided again, and nothing is written anywhere."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from penstock.cli.record.evidence import LOGS, read_history
from penstock.errors import NotFoundError, UnavailableError
from penstock.partitioner import partition_of
from penstock.replay import replay
from penstock.settings import Settings
from penstock.topics import ALL, PARTITIONS
from services.gate_evaluation.decide import decide as judge
from services.rollout_control.decide import decide as steer
from services.runtime.kafka.connection import connection, ensure_topics, named
from tests.support.deciders.histories import Recorder
from tests.support.deciders.slice import deploy
from tests.support.metrics.windows import moment, window
from tests.support.plans import TARGET

DECIDERS = {"gate_evaluation": judge, "rollout_control": steer}


async def written(settings: Settings) -> str:
    """Put a rollout that is taken back into the logs, beside another target's; return its id."""
    cluster = await ensure_topics(settings)
    recorder = Recorder(DECIDERS, cluster, settings.topic_prefix, partition_of(TARGET))
    recorder.put("deploys", deploy())
    for number in range(8):
        recorder.put("window-log", window(TARGET, number, moment(), canary_slow=0.2))
    producer = AIOKafkaProducer(**connection(settings), acks="all")
    await producer.start()
    for line in recorder.lines:
        await producer.send_and_wait(
            named(settings, line.log), line.value, key=TARGET.encode(), partition=partition_of(TARGET)
        )
    await producer.stop()
    rollout = recorder.document("rollout_control", TARGET)["rollout"]
    assert isinstance(rollout, dict)
    assert rollout["phase"] == "rolling_back"
    return str(rollout["id"])


async def ends(settings: Settings) -> dict[TopicPartition, int]:
    """Return how far every topic reaches."""
    consumer = AIOKafkaConsumer(**connection(settings))
    await consumer.start()
    try:
        places = [TopicPartition(named(settings, topic.name), p) for topic in ALL for p in range(topic.partitions)]
        return dict(await consumer.end_offsets(places))
    finally:
        await consumer.stop()


async def test_a_rollout_is_found_read_and_reproduced_and_nothing_is_written(stack_settings: Settings) -> None:
    rollout = await written(stack_settings)
    before = await ends(stack_settings)
    history = await asyncio.to_thread(read_history, stack_settings, rollout, None)
    report = replay(history, rollout, DECIDERS)
    assert history.partition == partition_of(TARGET)
    assert report.reproduced
    assert report.decisions >= 6
    assert await ends(stack_settings) == before
    assert sum(count for place, count in before.items() if place.topic.endswith("verdict-log")) > 3


async def test_without_the_rollout_or_without_penstock_nothing_is_found(stack_settings: Settings) -> None:
    with pytest.raises(NotFoundError, match="no Penstock has run"):
        await asyncio.to_thread(read_history, stack_settings, "ro-000000000000", None)
    await written(stack_settings)
    with pytest.raises(NotFoundError, match="ro-000000000000"):
        await asyncio.to_thread(read_history, stack_settings, "ro-000000000000", None)


async def test_a_broker_that_is_not_there_is_unreachable(stack_settings: Settings) -> None:
    away = stack_settings.model_copy(update={"kafka": "127.0.0.1:1"})
    with pytest.raises(UnavailableError, match="PENSTOCK_KAFKA"):
        await asyncio.to_thread(read_history, away, "ro-000000000000", None)


def test_every_log_that_replay_reads_is_one_of_the_table() -> None:
    assert {topic.name for topic in ALL if topic.kind == "log"} == set(LOGS)
    assert PARTITIONS == 12
