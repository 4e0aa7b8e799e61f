"""Each record decided again from the state that was recorded before it, and compared."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from penstock.chain import Decide, Document, merge
from penstock.errors import PermanentError
from penstock.events import to_json
from penstock.replay.history import DECIDED_BY, LOG_OF_WINDOWS, History, Step, events_of, fold_history, select, until
from penstock.replay.likeness import differences_of


@runtime_checkable
class Versioned(Protocol):
    """A decider that keeps its earlier versions: a record is decided again by the one that wrote it."""

    def as_recorded(self, after: Document) -> Decide:
        """Return the decider of the version that the document after a record names."""
        ...


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
        for event in (event for entry in record.inputs for event in events_of(entry)):
            decision = decide(record.target, after, event)
            after, plan = decision.document, decision.plan or plan
            events.extend(to_json(decided) for decided in decision.events)
    except PermanentError as error:
        return {"events": [], "document": step.before, "plan": "", "error": f"{type(error).__name__}: {error}"}
    return {"events": events, "document": after, "plan": plan, "error": ""}


def _compare(step: Step, decide: Decide) -> list[Difference]:
    record = step.record
    if record.passes_only:
        return []  # passed by a version that could not read the target: nothing was decided
    after = merge(step.before, record.patch)
    again = decide_again(step, decide.as_recorded(after) if isinstance(decide, Versioned) else decide)
    recorded = {
        "events": list(record.events),
        "document": after,
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
            if entry.source != LOG_OF_WINDOWS or step.record.passes_only:
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
