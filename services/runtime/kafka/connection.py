"""How services reach Kafka: connection arguments, topic creation from the table, reading a span of a topic."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidReplicationFactorError,
    KafkaConnectionError,
    KafkaError,
    NotControllerError,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
    for_code,
)
from faststream.kafka import KafkaBroker
from faststream.security import BaseSecurity, SASLScram512

from penstock.errors import UnavailableError
from penstock.settings import Settings
from penstock.topics import ALL, Topic

_TOPIC_EXISTS = 36
_READ_ONE_S = 10.0
_NOT_YET = {InvalidReplicationFactorError.errno, NotControllerError.errno, RequestTimedOutError.errno}
"""Errors of a cluster that is still starting: too few brokers for the copies asked for, or no controller yet."""


_REFUSED = {TopicAuthorizationFailedError.errno, ClusterAuthorizationFailedError.errno}


class KafkaAwayError(UnavailableError):
    """The brokers cannot be reached, or do not answer in full: they may later, so the caller tries again."""


class KafkaRefusedError(KafkaAwayError):
    """The brokers do not allow this user what it needs: the caller tries again, for the rules may change."""


def connection(settings: Settings) -> dict[str, Any]:
    """Return the connection arguments that every aiokafka client takes."""
    arguments: dict[str, Any] = {
        "bootstrap_servers": settings.kafka,
        "client_id": f"penstock-{settings.instance}",
        "security_protocol": settings.kafka_security,
    }
    if "SSL" in settings.kafka_security:
        context = ssl.create_default_context(cafile=str(settings.kafka_ca_file) if settings.kafka_ca_file else None)
        if settings.kafka_cert_file:
            context.load_cert_chain(settings.kafka_cert_file, settings.kafka_key_file)
        arguments["ssl_context"] = context
    if settings.kafka_security.startswith("SASL") and settings.kafka_password_file:
        arguments |= {
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": settings.kafka_username,
            "sasl_plain_password": settings.kafka_password_file.read_text().strip(),
        }
    return arguments


def make_broker(settings: Settings) -> KafkaBroker:
    """Return a FastStream broker that creates no topics, injects nothing and logs no message."""
    arguments = connection(settings)
    context = arguments.get("ssl_context")
    security: BaseSecurity | None = None
    if "sasl_mechanism" in arguments:
        security = SASLScram512(
            username=arguments["sasl_plain_username"] or "",
            password=arguments["sasl_plain_password"],
            ssl_context=context,
            use_ssl=context is not None,
        )
    elif context is not None:
        security = BaseSecurity(ssl_context=context, use_ssl=True)
    return KafkaBroker(
        settings.kafka,
        client_id=arguments["client_id"],
        security=security,
        allow_auto_create_topics=False,
        apply_types=False,
        logger=None,
        acks="all",
        enable_idempotence=True,
    )


def named(settings: Settings, topic: str) -> str:
    """Return the name in Kafka of a topic of the table."""
    return f"{settings.topic_prefix}{topic}"


async def ensure_topics(settings: Settings, topics: tuple[Topic, ...] = ALL) -> str:
    """Create the topics that are missing, as the table says; return the cluster's id.

    Raises:
        UnavailableError: the brokers cannot be reached (KafkaAwayError), or refuse a topic.
    """
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        await admin.start()
        existing = set(await admin.list_topics())
        copies = settings.replication
        missing = [
            NewTopic(named(settings, topic.name), topic.partitions, copies, topic_configs=topic.config(copies))
            for topic in topics
            if named(settings, topic.name) not in existing
        ]
        if missing:
            # The client returns errors instead of raising them, and two services may race to create.
            response: Any = await admin.create_topics(missing)
            for name, code, *_ in response.topic_errors:
                if code not in {0, _TOPIC_EXISTS}:
                    if code in _REFUSED:
                        raise KafkaRefusedError(
                            f"refused by Kafka: this user may neither see nor create {name}; `penstock topics acls` "
                            "lists every rule that it needs"
                        )
                    kind = KafkaAwayError if code in _NOT_YET else UnavailableError
                    raise kind(f"Kafka refused to create {name}: {for_code(code).__name__}")
        description = await admin.describe_cluster()
        return str(description["cluster_id"])
    except (KafkaConnectionError, OSError) as error:
        raise KafkaAwayError(
            f"no Kafka at {settings.kafka}: {error}; check PENSTOCK_KAFKA, or run `penstock up` for a local one"
        ) from None
    finally:
        await admin.close()


async def read_one(settings: Settings, topic: str, partition: int, offset: int) -> ConsumerRecord | None:
    """Return the record at one place of a topic of the table; None where it is not there, or no longer.

    Raises:
        UnavailableError: the brokers do not answer within seconds.
    """
    place = TopicPartition(named(settings, topic), partition)
    consumer = AIOKafkaConsumer(**connection(settings), enable_auto_commit=False, max_poll_records=1)
    try:
        async with asyncio.timeout(_READ_ONE_S):
            await consumer.start()
            consumer.assign([place])
            first = (await consumer.beginning_offsets([place]))[place]
            end = (await consumer.end_offsets([place]))[place]
            if not first <= offset < end:
                return None
            consumer.seek(place, offset)
            record = await consumer.getone(place)
            return record if record.offset == offset else None
    except (KafkaError, OSError) as error:
        raise UnavailableError(f"{topic} cannot be read now ({type(error).__name__}); try again") from None
    finally:
        await consumer.stop()


OnRecord = Callable[[ConsumerRecord], Awaitable[None] | None]


async def read_span(
    settings: Settings, starts: Mapping[TopicPartition, int], on_record: OnRecord
) -> dict[TopicPartition, int]:
    """Read partitions from their start offsets to the ends that they have now; return those ends.

    Offsets that retention has removed are passed over. Records come in order within a partition.
    """
    consumer = AIOKafkaConsumer(**connection(settings), enable_auto_commit=False, max_poll_records=5000)
    await consumer.start()
    try:
        partitions = list(starts)
        consumer.assign(partitions)
        beginnings = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        open_partitions = set()
        for partition, start in starts.items():
            first = max(start, beginnings[partition])
            consumer.seek(partition, first)
            if first < ends[partition]:
                open_partitions.add(partition)
        while open_partitions:
            batches = await consumer.getmany(*open_partitions, timeout_ms=1000)
            for partition, records in batches.items():
                for record in records:
                    if record.offset < ends[partition]:
                        outcome = on_record(record)
                        if outcome is not None:
                            await outcome
            for partition in list(open_partitions):
                if await consumer.position(partition) >= ends[partition]:
                    open_partitions.discard(partition)
        return dict(ends)
    finally:
        await consumer.stop()
