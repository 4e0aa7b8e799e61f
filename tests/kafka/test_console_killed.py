"""The console killed by SIGKILL in the middle of its intake: every deploy arrives, none in a second version."""

import asyncio
import json
import os
import signal
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from penstock.events.cloudevents import from_kafka
from penstock.topics import PARTITIONS
from services.runtime.kafka.connection import connection, ensure_topics, named
from tests.support.builders import deployed
from tests.support.plans import SHORT, TARGET

DEPLOYS = 300


def environment(settings):
    fields = ("kafka", "topic_prefix", "state")
    given = {f"PENSTOCK_{name.upper()}": str(getattr(settings, name)) for name in fields}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    return {**clean, **given, "PENSTOCK_CONSOLE_PORT": "0"}


async def start(settings):
    command = (sys.executable, "-m", "services", "console")
    return await asyncio.create_subprocess_exec(*command, env=environment(settings), stderr=asyncio.subprocess.DEVNULL)


async def read_deploys(settings, until, patience=60.0):
    consumer = AIOKafkaConsumer(**connection(settings), enable_auto_commit=False)
    await consumer.start()
    found = []
    deadline = asyncio.get_running_loop().time() + patience
    try:
        places = [TopicPartition(named(settings, "deploys"), number) for number in range(PARTITIONS)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        while len({event.id for event in found}) < until:
            assert asyncio.get_running_loop().time() < deadline, f"{len({e.id for e in found})} of {until} arrived"
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += [from_kafka(record.value, record.headers) for record in records]
    finally:
        await consumer.stop()
    return found


async def test_a_console_killed_in_the_middle_of_its_intake_loses_nothing(stack_settings):
    await ensure_topics(stack_settings)
    producer = AIOKafkaProducer(**connection(stack_settings), acks="all")
    await producer.start()
    topic = named(stack_settings, "deploy-intake")
    for number in range(DEPLOYS):
        await producer.send(topic, json.dumps(deployed(number, planText=SHORT)).encode(), partition=number % 3)
    await producer.flush()
    await producer.stop()

    for share in (0.2, 0.6):
        process = await start(stack_settings)
        try:
            await read_deploys(stack_settings, int(DEPLOYS * share))
        finally:
            process.send_signal(signal.SIGKILL)
            await process.wait()
    last = await start(stack_settings)
    try:
        found = await read_deploys(stack_settings, DEPLOYS)
    finally:
        last.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(last.wait(), 20) == 0

    by_id = {}
    for event in found:
        assert by_id.setdefault(event.id, event) == event
    assert set(by_id) == {f"d-{number}" for number in range(DEPLOYS)}
    assert {event.target for event in found} == {TARGET}
