"""Where a replay gets its records: Kafka's private logs, read only, or a history that was saved as JSON lines."""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from penstock.cli import local
from penstock.errors import InvalidError, NotFoundError, Problem, UnavailableError
from penstock.partitioner import partition_of
from penstock.replay import DECIDED_BY, LOG_OF_WINDOWS, History, Line
from penstock.settings import Settings
from penstock.topics import PARTITIONS

LOGS = (*DECIDED_BY, LOG_OF_WINDOWS)


def read_history(settings: Settings, rollout: str, target: str | None) -> History:
    """Return the logs of the target's partition; without a target, the rollout log is searched for the rollout.

    Raises:
        PenstockError: UnavailableError without Kafka, NotFoundError where no log speaks of the rollout.
    """
    return asyncio.run(_read(settings, rollout, target))


async def _read(settings: Settings, rollout: str, target: str | None) -> History:
    from aiokafka import TopicPartition
    from aiokafka.errors import KafkaError

    kafka = local.load("runtime.kafka.connection")
    try:
        cluster, present = await _cluster(kafka, settings)
        if "rollout-log" not in present:
            raise NotFoundError(
                f"no Penstock has run on {settings.kafka}: there is no {settings.topic_prefix}rollout-log"
            )
        partition = partition_of(target) if target else await _search(kafka, settings, rollout)
        lines: list[Line] = []
        for log in (log for log in LOGS if log in present):

            def keep(record: Any, log: str = log) -> None:
                lines.append(Line(log, record.offset, record.value or b""))

            await kafka.read_span(settings, {TopicPartition(kafka.named(settings, log), partition): 0}, keep)
    except (KafkaError, OSError) as error:
        raise UnavailableError(
            f"no Kafka at {settings.kafka}: {error}; check PENSTOCK_KAFKA, or replay a saved history with --from"
        ) from None
    return History(cluster, settings.topic_prefix, partition, tuple(lines))


async def _cluster(kafka: Any, settings: Settings) -> tuple[str, set[str]]:
    from aiokafka.admin import AIOKafkaAdminClient

    admin = AIOKafkaAdminClient(**kafka.connection(settings))
    try:
        await admin.start()
        names = set(await admin.list_topics())
        present = {log for log in LOGS if kafka.named(settings, log) in names}
        return str((await admin.describe_cluster())["cluster_id"]), present
    finally:
        await admin.close()


async def _search(kafka: Any, settings: Settings, rollout: str) -> int:
    from aiokafka import TopicPartition

    name, needle = kafka.named(settings, "rollout-log"), rollout.encode()
    found: set[int] = set()

    def look(record: Any) -> None:
        if needle in (record.value or b""):
            found.add(record.partition)

    await kafka.read_span(settings, {TopicPartition(name, p): 0 for p in range(PARTITIONS)}, look)
    if len(found) != 1:
        raise NotFoundError(f"the rollout log has no {rollout}. `penstock rollouts list` shows those there are.")
    return found.pop()


def save(history: History, rollout: str, path: Path) -> None:
    """Write a history: a line that says where it is from, then a line a record."""
    head = {
        "rollout": rollout,
        "cluster": history.cluster,
        "prefix": history.prefix,
        "partition": history.partition,
    }
    with path.open("wb") as file:
        for document in (head, *map(_to_line, history.lines)):
            file.write(msgspec.json.encode(document) + b"\n")


def load(path: Path) -> tuple[History, str]:
    """Return a saved history and the rollout that it was saved for.

    Raises:
        InvalidError: no such file, or not of this form.
    """
    try:
        head, *lines = _documents(path)
        history = History(head["cluster"], head["prefix"], head["partition"], tuple(map(_from_line, lines)))
        return history, head["rollout"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidError(f"history {path}", [Problem("", f"cannot be read: {error}")]) from None


def _documents(path: Path) -> Iterator[Any]:
    for line in path.read_bytes().splitlines():
        if line:
            yield msgspec.json.decode(line)


def _to_line(line: Line) -> dict[str, Any]:
    # A record is canonical JSON and so readable text; what is not stays exact as base64.
    try:
        return {"log": line.log, "offset": line.offset, "value": line.value.decode()}
    except UnicodeDecodeError:
        return {"log": line.log, "offset": line.offset, "base64": base64.b64encode(line.value).decode()}


def _from_line(document: dict[str, Any]) -> Line:
    text = document.get("value")
    value = text.encode() if text is not None else base64.b64decode(document["base64"])
    return Line(document["log"], document["offset"], value)
