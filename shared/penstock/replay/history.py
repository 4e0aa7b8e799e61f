"""What stands in the logs, and which of it counts and belongs to a rollout: the chain is checked on the way."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from penstock.chain import Accepted, Document, Fold, Input, Record, decode, genesis
from penstock.errors import CorruptError, EvidenceExpiredError, NotFoundError
from penstock.events import Event, from_json

DECIDED_BY: dict[str, str] = {
    "verdict-log": "gate_evaluation",
    "rollout-log": "rollout_control",
    "flag-log": "flag_control",
    "rollback-log": "rollback_execution",
}
"""Service by log, for the logs whose records hold all that was decided from. The window log's inputs are samples, which
are not kept: its windows are checked against what the verdict log says it read."""

LOG_OF_WINDOWS = "window-log"


@dataclass(frozen=True)
class Line:
    """One record as it stands in Kafka: its log (without prefix), offset, and exact bytes."""

    log: str
    offset: int
    value: bytes


@dataclass(frozen=True)
class History:
    """One partition of the logs.

    Attributes:
        cluster: id of the cluster; prefix: of its topics: both are part of where the chains begin.
        partition: of the target; lines: in the order of each log, from its first record.
    """

    cluster: str
    prefix: str
    partition: int
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Step:
    """An accepted record with the target's document before it."""

    log: str
    accepted: Accepted
    before: Document

    @property
    def record(self) -> Record:
        """The record; only asked for where it could be read."""
        assert self.accepted.record is not None
        return self.accepted.record


def fold_history(history: History) -> dict[str, list[Step]]:
    """Return the accepted records of each log, in order.

    Raises:
        EvidenceExpiredError: retention has removed the beginning of a log.
        CorruptError: bytes were changed or removed.
    """
    return {
        log: _fold(history, log, [line for line in history.lines if line.log == log])
        for log in dict.fromkeys(line.log for line in history.lines)
    }


def _fold(history: History, log: str, lines: Sequence[Line]) -> list[Step]:
    first = genesis(history.cluster, f"{history.prefix}{log}", history.partition)
    if lines and lines[0].offset > 0:
        raise EvidenceExpiredError(
            f"{log} begins at offset {lines[0].offset}: retention has removed what this replay needs; "
            "a saved history (`penstock replay --save`) can still be replayed with --from"
        )
    fold, steps = Fold(first), []
    known, loose = {first}, -1
    for line in lines:
        try:
            envelope = decode(line.value)
        except CorruptError:
            # Readers pass it: another program wrote it. Were it a damaged one of ours, nothing behind it would chain.
            fold.offer(line.offset, line.value)
            continue
        before = fold.documents.get(envelope.target, {})
        accepted = fold.offer(line.offset, line.value)
        if accepted is not None:
            steps.append(Step(log, accepted, before))
            loose = -1
        elif envelope.prev not in known and loose < 0:
            loose = line.offset
        known.add(envelope.digest)
    # A record ahead of one that was lost is no harm as long as the log went on; if nothing counts any more, it was cut.
    if loose >= 0:
        raise CorruptError(
            f"{log}: no record from offset {loose} on chains to those before: bytes were changed or removed"
        )
    return steps


def select(steps: Mapping[str, list[Step]], rollout: str) -> dict[str, list[Step]]:
    """Return the readable records that belong to a rollout: its target's, from its announcement to its last event.

    Raises:
        NotFoundError: no rollout log here has it.
    """
    own = [step for step in steps.get("rollout-log", []) if _speaks_of(step, rollout)]
    if not own:
        raise NotFoundError(f"the rollout log has no {rollout}. `penstock rollouts list` shows those there are.")
    target, begin = own[0].accepted.target, own[0].record.time
    end = max(step.record.time for step in own)
    return {
        log: [
            step
            for step in taken
            if step.accepted.target == target
            and step.accepted.record is not None
            and (begin <= step.record.time <= end or _speaks_of(step, rollout))
        ]
        for log, taken in steps.items()
    }


def events_of(entry: Input) -> Iterator[Event]:
    """Yield the events of a recorded input as the decider received them."""
    for event in map(from_json, entry.events):
        yield event.received_at(datetime.fromisoformat(entry.received)) if entry.received else event


def _speaks_of(step: Step, rollout: str) -> bool:
    record = step.accepted.record
    return record is not None and any(event.get("rollout") == rollout for event in record.events)


def until(steps: Mapping[str, list[Step]], rollout: str, sequence: int) -> dict[str, list[Step]]:
    """Return the records up to the rollout's event with that sequence number, included."""
    reached = [
        step.record.time
        for step in steps["rollout-log"]
        if any(e.get("rollout") == rollout and e.get("sequence", 0) <= sequence for e in step.record.events)
    ]
    end = max(reached, default="")
    return {log: [step for step in taken if step.record.time <= end] for log, taken in steps.items()}
