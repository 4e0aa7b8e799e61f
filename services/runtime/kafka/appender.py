"""The idempotent producer of a service; one that has lost its sequence is replaced, for its errors never heal."""

import asyncio
import logging
from collections.abc import Sequence
from time import monotonic
from typing import Literal

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
)
from aiokafka.structs import RecordMetadata

from penstock.errors import AppendError, OversizeError, Problem
from penstock.settings import Settings
from services.runtime.kafka.connection import connection, named
from services.runtime.kafka.seals import seals_of
from services.runtime.process.tasks import begin

_LARGEST_BYTES = 8 * 1024 * 1024
_FATAL = (OutOfOrderSequenceNumber, ProducerFenced)
_STOP_S = 5.0
_CONNECT_S = 10.0
_RENEWAL_S = 60.0

log = logging.getLogger(__name__)


class Appender:
    """Appends records in the order of the calls, without waiting for one before the next."""

    name = "the producer"

    def __init__(self, settings: Settings, compression: Literal["zstd"] | None = None) -> None:
        self._settings = settings
        self._compression = compression
        self._seals = seals_of(settings)
        self._producer: AIOKafkaProducer | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._reachable = 0.0

    @property
    def prefix(self) -> str:
        """The prefix of the topics' names in Kafka."""
        return self._settings.topic_prefix

    async def start(self) -> None:
        """Connect."""
        self._producer = await self._connected()

    async def stop(self) -> None:
        """Send what is buffered and disconnect."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
        if self._producer is not None:
            await self._producer.stop()

    def alive(self) -> bool:
        """Whether the sender's task runs, or a new producer may still come; without one, appends fail from then on."""
        producer, renewing = self._producer, self._renewing
        if producer is None:
            return renewing is not None and not renewing.done() and monotonic() - self._reachable < _RENEWAL_S
        task = producer._sender.sender_task
        return task is None or not task.done()

    async def append(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> "asyncio.Future[RecordMetadata]":
        """Hand one record to the producer; the future gives its position once all in-sync replicas have it.

        Raises:
            AppendError: there is no connected producer now; whether earlier records arrived is told by their futures.
            OversizeError: it is larger than what may be sent. Brokers that take less say so in the future, as
                MessageSizeTooLargeError.
        """
        producer = self._producer
        if producer is None:
            raise AppendError("the producer is being replaced")
        try:
            name = named(self._settings, topic)
            sealed = self._seals.seal(name, partition, key, value, headers)
            future = await producer.send(name, value, key=key, partition=partition, headers=sealed)
        except MessageSizeTooLargeError:
            raise _oversize(topic, value) from None
        except KafkaError as error:
            self._look_at(error)
            raise AppendError(f"{topic}: {type(error).__name__}") from error
        future.add_done_callback(self._watch)
        return future  # type: ignore[no-any-return]

    async def append_and_wait(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> RecordMetadata:
        """Append one record; return its position once all in-sync replicas have it.

        Raises:
            AppendError: whether it arrived is unknown.
            OversizeError: the brokers take none so large.
        """
        try:
            return await (await self.append(topic, partition, key, value, headers))
        except MessageSizeTooLargeError:
            raise _oversize(topic, value) from None
        except KafkaError as error:
            raise AppendError(f"{topic}: {type(error).__name__}") from error

    def _watch(self, future: "asyncio.Future[RecordMetadata]") -> None:
        if not future.cancelled() and (error := future.exception()) is not None:
            self._look_at(error)

    def _look_at(self, error: BaseException) -> None:
        if isinstance(error, _FATAL) and self._renewing is None:
            log.error("the producer lost its sequence (%s); it is replaced", type(error).__name__)
            self._reachable = monotonic()
            self._renewing = begin(self._renew())

    async def _renew(self) -> None:
        old, self._producer = self._producer, None
        if old is not None:
            await _give_up(old)
        while self._producer is None:
            try:
                async with asyncio.timeout(_CONNECT_S):
                    self._producer = await self._connected()
            except (KafkaConnectionError, OSError):
                # Brokers that are away are no fault of this process: it goes on with what it has in memory. (A timeout
                # is an OSError too, and is what an address that swallows packets looks like.)
                self._reachable = monotonic()
                await asyncio.sleep(0.5)
            except KafkaError as error:
                log.warning("no new producer yet: %r", error)
                await asyncio.sleep(0.5)
        self._renewing = None

    async def _connected(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **connection(self._settings),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            compression_type=self._compression,
            max_request_size=_LARGEST_BYTES,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer


def _oversize(topic: str, value: bytes) -> OversizeError:
    what = f"its value alone is {len(value)} bytes, and at most {_LARGEST_BYTES} are sent; brokers may take less"
    return OversizeError(f"record for {topic}", [Problem("", what)])


async def _give_up(producer: AIOKafkaProducer) -> None:
    """End a producer within seconds; what it has not sent fails, so that its caller decides again."""
    try:
        async with asyncio.timeout(_STOP_S):
            await producer.stop()
    except TimeoutError:
        log.warning("the old producer could not send what it held; it is given up")
    except KafkaError as error:
        log.warning("the old producer did not stop cleanly: %s", type(error).__name__)
    else:
        return
    # Its stop flushes first and ends nothing if that hangs: the sender would go on and append after its successor.
    sender = producer._sender.sender_task
    if sender is not None:
        sender.cancel()
    producer._message_accumulator.fail_all(KafkaConnectionError("the producer was replaced"))
    await producer.client.close()
