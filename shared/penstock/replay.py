"""Replay: decide a rollout again from its recorded inputs and compare with the record. Pure; it emits nothing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .chain import Accepted, Decide, Document, Fold, Record, decode, genesis, merge
from .errors import CorruptError, EvidenceExpiredError, NotFoundError, PermanentError
from .events import from_json, to_json
from .likeness import differences_of

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


@dataclass(frozen=True)
class Difference:
    """What came out otherwise: in which record, at which path (`events.0.word`), recorded and decided again."""

    log: str
    offset: int
    path: str
    recorded: object
    again: object


@dataclass(frozen=True)
class Report:
    """What a replay found.

    Attributes:
        records: re-decided; decisions: events decided in them; by_log: records by log.
        ignored: records that lost a race and never counted, in the logs read.
        windows: inputs from the window log found there as they were recorded.
        code: versions of the deciders that wrote the record; plans: hashes of the plans in force.
        skipped: logs that were not re-decided, and why.
    """

    rollout: str
    target: str
    records: int
    decisions: int
    by_log: Mapping[str, int]
    ignored: int
    windows: int
    code: tuple[str, ...]
    plans: tuple[str, ...]
    differences: tuple[Difference, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def reproduced(self) -> bool:
        """Whether every decision came out as recorded; an empty record proves nothing."""
        return not self.differences and self.decisions > 0

    @property
    def sentence(self) -> str:
        """What was reproduced, in words."""
        counted = f"{self.records} records, {self.decisions} decisions"
        if self.reproduced:
            return f"{counted}, all reproduced"
        wrong = len({(difference.log, difference.offset) for difference in self.differences})
        return f"{counted}, {wrong} records differ"


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
        envelope = decode(line.value)
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


def replay(history: History, rollout: str, deciders: Mapping[str, Decide], last: int | None = None) -> Report:
    """Decide a rollout again, record by record, each from the state that was recorded before it.

    Args:
        deciders: by service name; a log whose service is missing is reported as skipped.
        last: sequence number to stop at.

    Raises:
        PenstockError: NotFoundError, EvidenceExpiredError, CorruptError.
    """
    folded = fold_history(history)
    chosen = select(folded, rollout)
    if last is not None:
        chosen = until(chosen, rollout, last)
    differences: list[Difference] = []
    by_log: dict[str, int] = {}
    skipped: dict[str, str] = {}
    redecided: list[Step] = []
    for log, service in DECIDED_BY.items():
        if service not in deciders:
            skipped[log] = f"{service} is not here"
            continue
        taken = chosen.get(log, [])
        by_log[log] = len(taken)
        redecided += taken
        for step in taken:
            differences += _compare(step, deciders[service])
    windows, missing = _check_windows(folded, redecided)
    return Report(
        rollout=rollout,
        target=chosen["rollout-log"][0].accepted.target,
        records=len(redecided),
        decisions=sum(len(step.record.events) for step in redecided),
        by_log=by_log,
        ignored=len(history.lines) - sum(map(len, folded.values())),
        windows=windows,
        code=_distinct(step.record.code for step in redecided),
        plans=_distinct(step.record.plan for step in redecided),
        differences=(*differences, *missing),
        skipped=skipped,
    )


def decide_again(step: Step, decide: Decide) -> Document:
    """Return events, document, plan and error that this record's inputs give from the state before it."""
    record, after, plan = step.record, step.before, ""
    events: list[Document] = []
    try:
        for document in (document for entry in record.inputs for document in entry.events):
            decision = decide(record.target, after, from_json(document))
            after, plan = decision.document, decision.plan or plan
            events.extend(to_json(event) for event in decision.events)
    except PermanentError as error:
        return {"events": [], "document": step.before, "plan": "", "error": f"{type(error).__name__}: {error}"}
    return {"events": events, "document": after, "plan": plan, "error": ""}


def _compare(step: Step, decide: Decide) -> list[Difference]:
    record = step.record
    again = decide_again(step, decide)
    recorded = {
        "events": list(record.events),
        "document": merge(step.before, record.patch),
        "plan": record.plan,
        "error": record.error,
    }
    return [
        Difference(step.log, step.accepted.offset, path, before, after)
        for path, before, after in differences_of(recorded, again)
    ]


def _check_windows(folded: Mapping[str, list[Step]], redecided: Iterable[Step]) -> tuple[int, list[Difference]]:
    """Count inputs that the window log holds as they were recorded; return those that it does not."""
    if LOG_OF_WINDOWS not in folded:
        return 0, []
    said = {step.accepted.offset: step for step in folded[LOG_OF_WINDOWS] if step.accepted.record is not None}
    found, missing = 0, []
    for step in redecided:
        for entry in step.record.inputs:
            if entry.source != LOG_OF_WINDOWS:
                continue
            origin = said.get(entry.offset)
            events = origin.record.events if origin else ()
            if tuple(entry.events) == tuple(events):
                found += 1
            else:
                path = f"inputs.{LOG_OF_WINDOWS}@{entry.offset}"
                missing.append(Difference(step.log, step.accepted.offset, path, entry.events, events))
    return found, missing


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))


Load = Callable[[str], Decide]
"""Service name -> its decider."""
