"""Redrives dead letters: publishes a refused input to its topic again, once its cause is mended."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from aiokafka import ConsumerRecord
from aiokafka.structs import RecordMetadata

from penstock.errors import AppendError, OversizeError, RefusedError, UnavailableError
from penstock.topics import BY_NAME, Kind
from services.console.read_models.dead_letters import DeadLetters, Letter, Place, redriven_of
from services.runtime.kafka.dead_letters import is_cut, mark_headers, original
from services.runtime.kafka.seals import HEADER as SEAL
from services.runtime.process.service import Clock

COUNT = "penstock-redrives"
"""Header of a redriven record: how often its input has been redriven by now."""
FROM = "penstock-redriven-from"
"""Header of a redriven record: the place of the letter that it comes from."""
MOST_REDRIVES = 5
_PATIENCE_S = 10.0
_REFUSED_BY = {"deploy-intake": "console", "otlp_metrics": "metric_ingestion", "deploys": "rollout_control"}
"""Topics whose records can be redriven, and the service that must have refused them: others have processed them."""

ReadOne = Callable[[str, int, int], Awaitable[ConsumerRecord | None]]
"""Returns the record at a topic (without prefix), partition and offset; None where there is none any more."""


class Appends(Protocol):
    """Appends one record to a topic and returns its position once it is acknowledged."""

    async def append_and_wait(
        self, topic: str, partition: int | None, key: bytes | None, value: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> RecordMetadata:
        """Append it."""
        ...


class Redrive:
    """Redrives one letter at a time.

    Args:
        read: reads records of Kafka.
        seal_problem: returns why a record of a public topic was not written by Penstock, None where it was.
    """

    def __init__(
        self,
        letters: DeadLetters,
        appender: Appends,
        read: ReadOne,
        seal_problem: Callable[[ConsumerRecord], str | None],
        clock: Clock,
    ) -> None:
        self._letters = letters
        self._appender = appender
        self._read = read
        self._seal_problem = seal_problem
        self._clock = clock
        self._turn = asyncio.Lock()

    async def redrive(self, place: str, who: str, reason: str) -> dict[str, Any]:
        """Redrive one letter; return `{id, outcome, detail}` with the outcome `redriven`, `repeated` or `refused`.

        Raises:
            UnavailableError: Kafka does not take it now; the input may have been published without its mark. Redriving
                it again repeats it, and its id makes the repeat harmless.
        """
        async with self._turn:
            try:
                letter = self._letter(place)
                if letter.redriven is not None:
                    done = "redriven already, by {by} at {at}: {reason}; it is at {to}".format(**letter.redriven)
                    return {"id": letter.id, "outcome": "repeated", "detail": done}
                to = await self._publish(letter, who, reason)
            except RefusedError as error:
                return {"id": place, "outcome": "refused", "detail": str(error)}
            return {"id": letter.id, "outcome": "redriven", "detail": f"published again at {to}"}

    def _letter(self, text: str) -> Letter:
        place = self._letters.place_of(text)
        letters = self._letters.at(place) if place is not None else []
        if place is None or not letters:
            raise RefusedError(f"no dead letter from {text[:200]}; `penstock dead-letters list` shows them")
        refuse_what_cannot(place)
        service = _REFUSED_BY[place[0]]
        letter = next((letter for letter in letters if letter.service == service), None)
        if letter is None:
            others = ", ".join(letter.service for letter in letters)
            raise RefusedError(f"{service} has not refused it, only {others}: publishing it again would repeat it")
        if redrives_of(letter.headers.get(COUNT)) >= MOST_REDRIVES:
            raise RefusedError(
                f"it has been redriven {MOST_REDRIVES} times and was refused each time: mend it and send it again"
            )
        return letter

    async def _publish(self, letter: Letter, who: str, reason: str) -> str:
        key, value, headers = await self._original(letter)
        count = redrives_of(letter.headers.get(COUNT)) + 1
        ours = [(COUNT, str(count).encode()), (FROM, letter.id.encode())]
        sent = [(name, text) for name, text in headers if name not in {COUNT, FROM, SEAL}] + ours
        topic, partition, _ = letter.place
        try:
            async with asyncio.timeout(_PATIENCE_S):
                at = await self._appender.append_and_wait(topic, partition, key, value, sent)
                to = f"{topic}/{at.partition}@{at.offset}"
                # In this order: a console that ends between the two repeats an input, and loses none.
                mark = mark_headers(letter.place, letter.service, who, reason, to)
                name = "{}-{}-{}".format(*letter.place).encode()
                await self._appender.append_and_wait("dead-letters", None, name, b"", mark)
        except OversizeError as error:
            raise RefusedError(f"it is too large to be published again: {error}") from None
        except (AppendError, TimeoutError):
            raise UnavailableError(f"Kafka does not take {letter.id} now: redrive it again") from None
        said = {header: text.decode() for header, text in mark}
        self._letters.mark_redriven(letter.place, redriven_of(said, int(self._clock().timestamp() * 1000)))
        return to

    async def _original(self, letter: Letter) -> tuple[bytes | None, bytes, list[tuple[str, bytes]]]:
        topic, partition, offset = letter.place
        if BY_NAME[topic].kind is Kind.INTAKE:
            kept = await self._read("dead-letters", *letter.kept)
            if kept is not None and not is_cut(kept):
                return original(kept)
        record = await self._read(topic, partition, offset)
        if record is None:
            raise RefusedError("neither the letter nor its origin holds the whole record any more: send it again")
        if BY_NAME[topic].kind is not Kind.INTAKE and (problem := self._seal_problem(record)) is not None:
            raise RefusedError(f"{problem}; what Penstock did not write is not redriven")
        return record.key, record.value or b"", [(name, text or b"") for name, text in record.headers]


def refuse_what_cannot(place: Place) -> None:
    """Raise unless records of that topic can be redriven.

    Raises:
        RefusedError: they cannot; the text names what can be done.
    """
    topic = BY_NAME.get(place[0])
    if topic is None:
        raise RefusedError(f"{place[0]} is no topic of Penstock")
    if topic.name in _REFUSED_BY:
        return
    if topic.kind in {Kind.LOG, Kind.SNAPSHOTS}:
        raise RefusedError("a log record cannot be redriven; its input can: redrive that, or send it again")
    if topic.name == "commands":
        raise RefusedError("a command is not redriven, because it counts for who asked and when: ask again as yourself")
    raise RefusedError(f"records of {topic.name} come from Penstock itself and follow from their input: redrive that")


def redrives_of(text: str | None) -> int:
    """Return how often a record has been redriven, from its header; 0 for what is no number."""
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,6}", text) else 0
