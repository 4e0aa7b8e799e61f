"""OTLP on Kafka, as the OpenTelemetry Collector writes it: any key, no headers. The frames are keyed by target."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from itertools import zip_longest

import msgspec
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError

import penstock
from penstock.chain.failures import fault_of
from penstock.errors import InvalidError, OversizeError, UnavailableError
from services.metric_ingestion.doors.frame_publisher import FramePublisher
from services.metric_ingestion.doors.otlp_http import Frames
from services.metric_ingestion.doors.otlp_messages import parse_partly
from services.metric_ingestion.selection.select import Selector
from services.metric_ingestion.windows.frames import Explicits, Exponentials, Frame, Numbers
from services.runtime.kafka.appender import Appender
from services.runtime.kafka.dead_letters import dead_letter

_AFTER_ERROR_S = 0.5
_SANE_NS = 86_400 * 10**9

log = logging.getLogger(__name__)


class Intake:
    """Receives polls of `otlp_metrics`: each record becomes frames or a dead letter before the poll is committed.

    Partitions are read at different speeds, above all after a pause. The frames therefore carry the low-water mark of
    all partitions (`low`), and windows wait for it.

    Args:
        name: of this intake; unread: partitions that hold records beyond those of the newest poll.
    """

    def __init__(
        self,
        selector: Callable[[], Selector],
        publisher: FramePublisher,
        letters: Appender,
        now: Callable[[], int],
        commit: Callable[[], Awaitable[None]],
        name: str = "otlp_metrics",
        unread: Callable[[], set[int]] = set,
    ) -> None:
        self._selector = selector
        self._publisher = publisher
        self._letters = letters
        self._now = now
        self._commit = commit
        self._name = name
        self._unread = unread
        self._read: dict[int, int] = {}
        self._waiting: dict[str, Frame] = {}
        self._busy = False

    def waits(self) -> bool:
        """Return whether records wait that are not published as frames yet."""
        return self._busy or bool(self._unread())

    async def receive(self, records: Sequence[ConsumerRecord]) -> None:
        """Publish the records of one poll, oldest first; return once none of them can be lost."""
        self._busy = True
        try:
            ordered = sorted(records, key=lambda record: (record.timestamp, record.partition, record.offset))
            for record, following in zip_longest(ordered, ordered[1:]):
                await self._process_or_dead_letter(record, following)
            if not self._unread():
                await self._release_targets()
        finally:
            self._busy = False
        try:
            await self._commit()
        except KafkaError as error:
            # The records are read again, and their points are recognised as repeats.
            log.warning("otlp_metrics: not committed: %s", type(error).__name__)

    async def _process_or_dead_letter(self, record: ConsumerRecord, following: ConsumerRecord | None) -> None:
        try:
            await self._process_record(record, following)
        except UnavailableError:
            raise  # Its dead letter cannot be written: nothing after it may be committed.
        except Exception as error:
            log.exception("%s-%d at offset %d", record.topic, record.partition, record.offset)
            await dead_letter(self._letters, "metric_ingestion", record, fault_of(error, penstock.__version__))

    async def _process_record(self, record: ConsumerRecord, following: ConsumerRecord | None) -> None:
        now, written = self._now(), record.timestamp * 1_000_000
        self._read[record.partition] = written
        try:
            request, lost = parse_partly(record.value or b"", json=_is_json(record.value))
        except InvalidError as error:
            await dead_letter(self._letters, "metric_ingestion", record, str(error))
            return
        received = written if now - _SANE_NS < written < now else now
        selection = self._selector().select(request, received, lost=lost)
        if selection.rejected:
            reason = f"{selection.rejected} points left out: {'; '.join(selection.problems)}"
            await dead_letter(self._letters, "metric_ingestion", record, reason)
        low = self._low(following)
        frames = [
            (target, msgspec.structs.replace(frame, door=self._name, low=low)) for target, frame in selection.frames
        ]
        self._waiting.update(frames if low else ())
        await self._publish(frames, record)

    def _low(self, following: ConsumerRecord | None) -> int:
        """Return up to when all partitions have been read; 0 where they have been read to their ends."""
        lows = [self._read[partition] for partition in self._unread() if partition in self._read]
        if following is not None:
            lows.append(following.timestamp * 1_000_000)
        return min(lows, default=0)

    async def _release_targets(self) -> None:
        if self._waiting:
            await self._publish([(target, _release_of(frame)) for target, frame in self._waiting.items()])
            self._waiting = {}

    async def _publish(self, frames: Frames, record: ConsumerRecord | None = None) -> None:
        while True:
            try:
                await self._publisher.publish(frames)
                return
            except OversizeError as error:
                if record is not None:
                    await dead_letter(self._letters, "metric_ingestion", record, str(error))
                return
            except UnavailableError as error:
                log.warning("otlp_metrics: publishing failed, trying again: %s", error)
                await asyncio.sleep(_AFTER_ERROR_S)


def _is_json(value: bytes | None) -> bool:
    # The Collector writes `otlp_json`, too. No protobuf request begins with a brace: that would be a group's end.
    return (value or b"").lstrip()[:1] == b"{"


def _release_of(frame: Frame) -> Frame:
    """Return an empty frame of the same intake, which has read everything."""
    return msgspec.structs.replace(
        frame,
        series=(),
        shapes=(),
        numbers=Numbers(),
        explicits=Explicits(),
        exponentials=Exponentials(),
        rejected={},
        low=0,
    )
