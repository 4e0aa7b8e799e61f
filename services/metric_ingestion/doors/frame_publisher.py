"""Publishes frames to Kafka; done once all in-sync replicas have acknowledged every frame."""

import asyncio
from time import monotonic

from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from penstock.errors import AppendError, OversizeError, Problem, UnavailableError
from penstock.partitioner import partition_of
from services.metric_ingestion.doors.otlp_http import Frames
from services.metric_ingestion.partitions.owner import FRAMES
from services.metric_ingestion.windows.frames import encode
from services.runtime.kafka.appender import Appender

_PATIENCE_S = 8.0
_SLOW_S = 1.0


class FramePublisher:
    """Publishes frames, each on the partition of its target.

    Raises (of `publish`):
        UnavailableError: not all are known to be stored; the source sends them again, and repeats are recognised.
        OversizeError: some are too large for the broker, the others are stored; sending them again cannot help.
    """

    def __init__(self, appender: Appender) -> None:
        self._appender = appender
        self._begun: dict[object, float] = {}
        self._refused = False

    def struggles(self) -> bool:
        """Whether frames wait for Kafka, or some were refused since the last call: those will be sent again."""
        refused, self._refused = self._refused, False
        return refused or any(monotonic() - begun > _SLOW_S for begun in self._begun.values())

    async def publish(self, frames: Frames) -> None:
        """Publish and wait."""
        if not frames:
            return
        turn = object()
        self._begun[turn] = monotonic()
        try:
            await self._publish(frames)
        except UnavailableError:
            self._refused = True
            raise
        finally:
            del self._begun[turn]

    async def _publish(self, frames: Frames) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                waiting = [
                    await self._appender.append(FRAMES, partition_of(target), target.encode(), encode(frame))
                    for target, frame in frames
                ]
                # The timeout does not cancel these: the futures belong to the producer.
                done, late = await asyncio.wait(waiting, timeout=_PATIENCE_S / 2)
        except (KafkaError, AppendError, TimeoutError) as error:
            raise UnavailableError(f"Kafka did not take the samples: {type(error).__name__}; send them again") from None
        failures = [failure for future in done if (failure := future.exception()) is not None]
        refused = [failure for failure in failures if isinstance(failure, MessageSizeTooLargeError)]
        if refused and len(refused) == len(failures) and not late:
            what = f"Kafka took {len(frames) - len(refused)} of {len(frames)} parts, the others are too large for it"
            raise OversizeError("metrics request", [Problem("", f"{what}; send smaller batches")])
        if late or failures:
            what = type(failures[0]).__name__ if failures else "no acknowledgement in time"
            raise UnavailableError(f"Kafka did not take the samples: {what}; send them again")
