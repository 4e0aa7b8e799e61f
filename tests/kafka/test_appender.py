"""A producer that has lost its sequence is replaced, even while the broker is away, and nobody waits for ever."""

import asyncio
from pathlib import Path

import pytest
from aiokafka.errors import KafkaError, OutOfOrderSequenceNumber

from services.runtime.kafka.appender import Appender
from services.runtime.kafka.connection import ensure_topics
from tests.support.stack import OwnKafka, eventually, settings_on


async def test_what_a_replaced_producer_could_not_send_fails_and_the_next_one_appends(
    own_kafka: OwnKafka, tmp_path: Path
) -> None:
    broker = own_kafka()
    settings = settings_on(broker, None, "", tmp_path)
    await ensure_topics(settings)
    appender = Appender(settings)
    await appender.start()
    await (await appender.append("commands", 0, b"k", b"before"))
    broker.kill()
    waiting = await appender.append("commands", 0, b"k", b"lost")
    appender._look_at(OutOfOrderSequenceNumber())
    done, _ = await asyncio.wait([waiting], timeout=60)
    assert done, "the append that its producer took along is still waited for"
    assert isinstance(waiting.exception(), KafkaError)
    assert appender.alive()
    await asyncio.to_thread(broker.start)
    await eventually(lambda: appender._producer is not None, "there is a new producer")
    metadata = await (await appender.append("commands", 0, b"k", b"after"))
    assert metadata.offset == 1
    assert appender.alive()
    await appender.stop()


async def test_an_appender_whose_replacement_has_failed_for_good_is_not_alive(
    own_kafka: OwnKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_on(own_kafka(), None, "", tmp_path)
    appender = Appender(settings)
    await appender.start()

    async def fail() -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(appender, "_connected", fail)
    appender._look_at(OutOfOrderSequenceNumber())
    assert appender._renewing is not None
    await asyncio.wait([appender._renewing])
    assert not appender.alive()
    assert isinstance(appender._renewing.exception(), ValueError)
