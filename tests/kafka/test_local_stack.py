"""The local Kafka and Valkey themselves: what is written is still there after a stop, and after a kill -9."""

import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from penstock.local.kafka.broker import LocalKafka
from penstock.settings import Settings
from tests.support.stack import OwnKafka, OwnRedis, delete_topics

TOPIC = "kept"


async def write(broker: LocalKafka, topic: str, values: list[bytes]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    if topic not in await admin.list_topics():
        await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, enable_idempotence=True) as producer:
        for value in values:
            await producer.send_and_wait(topic, value)


async def read(broker: LocalKafka, topic: str, count: int) -> list[bytes | None]:
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, enable_auto_commit=False)
    async with consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        return [(await consumer.getone()).value for _ in range(count)]


async def test_kafka_keeps_records_over_a_stop_and_over_a_kill(own_kafka: OwnKafka) -> None:
    broker = own_kafka()
    await write(broker, TOPIC, [b"1"])
    broker.stop()
    assert not broker.child.alive
    broker.start()
    await write(broker, TOPIC, [b"2"])
    broker.kill()
    broker.start()
    await write(broker, TOPIC, [b"3"])
    assert await read(broker, TOPIC, 3) == [b"1", b"2", b"3"]


def test_redis_keeps_values_over_a_stop(own_redis: OwnRedis) -> None:
    server = own_redis()
    with redis.Redis.from_url(server.url) as client:
        client.set("exposure", "0")
    server.stop()
    assert not server.child.alive
    server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.get("exposure") == b"0"


async def test_topics_below_a_prefix_go_and_others_stay(kafka: LocalKafka, topic_prefix: str) -> None:
    await write(kafka, f"{topic_prefix}mine", [b"1"])
    await write(kafka, f"other-{topic_prefix}", [b"1"])
    await delete_topics(kafka.bootstrap, topic_prefix)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    topics = await admin.list_topics()
    await admin.close()
    assert f"{topic_prefix}mine" not in topics
    assert f"other-{topic_prefix}" in topics
    await delete_topics(kafka.bootstrap, f"other-{topic_prefix}")


def test_the_shared_servers_are_given_to_services_by_settings(kafka: LocalKafka, stack_settings: Settings) -> None:
    assert stack_settings.kafka == kafka.bootstrap
    assert stack_settings.redis is not None
    assert stack_settings.topic_prefix.endswith(".")
