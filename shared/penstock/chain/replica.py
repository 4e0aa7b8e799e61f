"""One replica of a decider on one partition, without I/O: it receives inputs, proposes records ahead of the log, and
folds the log. After a lost append or a decision of another replica, it decides again from the accepted head."""

import base64
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from penstock.chain.document import Document, diff, digest_of
from penstock.chain.failures import Failures, fault_of
from penstock.chain.fold import Accepted, Fold
from penstock.chain.record import LARGEST, Cursor, Input, Position, Record, encode
from penstock.chain.writer import ChainWriter, Proposal
from penstock.errors import FaultyVersionError, PermanentError
from penstock.events import Event, to_json
from penstock.events.base import rfc3339

TICK = "tick"
OBSERVATION = "observation"
_UNPOSITIONED = -1
_SKIPS_BEFORE_CURSOR_RECORD = 200
_SMALLEST_LIMIT = 64 * 1024
_MOST_REASON = 4000
_PARKED = "the target is parked behind a record that this version cannot read"


@dataclass(frozen=True)
class Item:
    """One input as it was received.

    Attributes:
        source: topic name; `tick` or `observation` for inputs of the copy itself.
        offset: position in the source's partition, -1 for ticks and observations: those are valid by state alone,
            so the decider must answer a stale one with no change.
        target: whose they are.
        events: in order; a record of a chained log carries all its decisions at once.
        head: digest of the record, where the source is a chained log.
        headers: trace context to hand on.
        error: why the input cannot be read; `raw` its bytes: the record that skips it keeps both.
    """

    source: str
    offset: int
    target: str
    events: tuple[Event, ...]
    head: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    raw: bytes = b""


@dataclass(frozen=True)
class Decision:
    """The decision on one event: the target's document afterwards and the facts it decided.

    Attributes:
        document: the state afterwards; the same object (or an equal one) for no change.
        events: decided, in order.
        plan: hash of the plan in force.
    """

    document: Document
    events: tuple[Event, ...] = ()
    plan: str = ""


Decide = Callable[[str, Document, Event], Decision]
"""(target, state document, event) -> decision. Pure: no clock, no randomness, no I/O."""


Write = Proposal[Item | None]
"""A record to append and the input behind it; None for one that only moves the cursor."""


class Replica:
    """A replica of a decider on one partition.

    Args:
        partition: its number, to name inputs by; failures: counts inputs that this code fails on.

    Attributes:
        fold: the accepted log; `fold.documents` is the state that counts.
    """

    def __init__(
        self, fold: Fold, decide: Decide, code: str, partition: int = 0, failures: Failures | None = None
    ) -> None:
        self.fold = fold
        self._decide = decide
        self._code = code
        self._pending: deque[Item] = deque()
        self._taken: deque[Item] = deque()
        self._writer: ChainWriter[Item | None] = ChainWriter(fold)
        self._cursor: Cursor = dict(fold.cursor)
        self._ahead: dict[str, Document] = {}
        self._skipped = 0
        self._largest = LARGEST
        self._partition = partition
        self._failures = failures if failures is not None else Failures(code)
        self._failed_ticks: set[str] = set()

    @property
    def in_flight(self) -> int:
        """Records proposed and not yet seen in the log."""
        return self._writer.in_flight

    @property
    def waiting(self) -> int:
        """Inputs received and not yet decided."""
        return len(self._pending)

    def receive(self, item: Item) -> None:
        """Queue an input, unless the accepted log covers it already."""
        if not _is_covered(item, self.fold.cursor):
            self._pending.append(item)

    def propose(self, limit: int = 64, mark: bool = False) -> list[Write]:
        """Decide waiting inputs ahead of their acknowledgement; return the records to append, in order.

        Args:
            limit: records in flight at most.
            mark: record the cursor even if only few inputs have changed nothing since it was recorded last.

        Raises:
            FaultyVersionError: this version failed on too many inputs; the next one is left where it is.
        """
        proposals: list[Write] = []
        while self._pending and self.in_flight < limit:
            item = self._pending[0]
            covered = _is_covered(item, self._cursor)
            try:
                proposal = self._propose(item) if not covered else None
            except FaultyVersionError:
                if proposals:
                    break  # What was decided in front of it is recorded first; the next call raises.
                raise
            # Only now: where too many fail, nothing behind the input may overtake it.
            self._pending.popleft()
            if covered:
                continue
            self._cursor = _cursor_after(self._cursor, item)
            if proposal is not None:
                proposals.append(proposal)
                self._taken.append(item)
            elif item.offset != _UNPOSITIONED or self.in_flight:
                self._taken.append(item)
        if self._skipped >= (1 if mark else _SKIPS_BEFORE_CURSOR_RECORD) and not self.in_flight:
            marker = Record(self._writer.head, dict(self._cursor), "", code=self._code)
            proposals.append(self._launch(marker, encode(marker)))
        return proposals

    def accept(self, offset: int, value: bytes) -> Accepted | None:
        """Fold one record of the log; return it if it counts."""
        accepted, mine = self._writer.accept(offset, value)
        if accepted is None:
            if mine is not None:
                self.resync()
            return None
        if mine is not None:
            self._forget(mine.origin)
        else:
            self.resync()
        self._drop_covered()
        return accepted

    def limit_size(self, refused: int) -> None:
        """Propose only records below a size in bytes that the brokers refused; an input that takes more is passed."""
        self._largest = max(_SMALLEST_LIMIT, min(self._largest, refused - 1))

    def resync(self) -> None:
        """Forget what was decided ahead of the log: an append failed, or another replica was first."""
        self._pending = deque((*self._taken, *self._pending))
        self._taken.clear()
        self._writer.resync()
        self._ahead.clear()
        self._cursor, self._skipped = dict(self.fold.cursor), 0

    def _propose(self, item: Item) -> Write | None:
        before = self._ahead.get(item.target, self.fold.documents.get(item.target, {}))
        parked = item.target in self.fold.parked
        if parked and item.source == TICK:
            return None  # a version that can read the target finds the timer due in its state
        if parked or item.error:
            if item.error:
                self._failures.count_unreadable(item.source, self._partition, item.offset, item.error)
            return self._skip(item, before, item.error or _PARKED)
        try:
            record, value, after = self._decide_item(item, before)
        except PermanentError as error:
            return self._fail(item, before, f"{type(error).__name__}: {error}")
        except Exception as error:
            reason = fault_of(error, self._code)
            self._failures.count_failure(item.source, self._partition, item.offset, reason)
            return self._fail(item, before, reason)
        self._failures.count_success()
        if record is None:
            self._skipped += item.offset != _UNPOSITIONED
            return None
        if item.source == TICK and len(value) > self._largest:
            return None  # a record of the skip would let the timer, still armed, fire again at once
        return self._launch(record, value, item, after)

    def _decide_item(self, item: Item, before: Document) -> tuple[Record | None, bytes, Document]:
        """Return the record of what `item` changes (None for nothing), its bytes, and the document afterwards."""
        after, plan, events = before, "", list[Event]()
        for event in item.events:
            decision = self._decide(item.target, after, event)
            after, plan = decision.document, decision.plan or plan
            events.extend(decision.events)
        patch = diff(before, after)
        if not patch and not events:
            return None, b"", before
        record = Record(
            prev=self._writer.head,
            cursor=_cursor_after(self._cursor, item),
            target=item.target,
            inputs=(_input(item),),
            events=tuple(to_json(event) for event in events),
            patch=patch,
            state=digest_of(after) if item.target else "",
            time=_time_of(item),
            plan=plan,
            code=self._code,
        )
        return record, encode(record), after

    def _fail(self, item: Item, before: Document, reason: str) -> Write | None:
        if item.source == TICK:
            # The timer stays armed: were each firing recorded, it would fire again at once, and fail again.
            timer = item.events[0].id
            if timer in self._failed_ticks:
                return None
            self._failed_ticks.add(timer)
        return self._skip(item, before, reason)

    def _skip(self, item: Item, before: Document, reason: str) -> Write:
        """Return the record that skips an input for a reason; the target keeps its state."""
        record = Record(
            prev=self._writer.head,
            cursor=_cursor_after(self._cursor, item),
            target=item.target,
            inputs=(_input(item),),
            # This version does not know the state of a parked target: a newer version may hold another one.
            state=digest_of(before) if item.target and item.target not in self.fold.parked else "",
            time=_time_of(item),
            code=self._code,
            error=reason,
        )
        return self._launch(record, encode(record), item, before)

    def _oversize_record(self, record: Record, item: Item, size: int) -> Record:
        """Return the record that skips an input whose own would be too large; its topic keeps the whole input."""
        error = f"the record would be {size} bytes, and at most {self._largest} are taken"
        kept = {"left_out": size, "unreadable": bool(item.error)}
        return Record(
            record.prev,
            record.cursor,
            record.target,
            inputs=(Input(item.source, item.offset, (kept,)),),
            time=record.time,
            code=record.code,
            error=f"{record.error[:_MOST_REASON]}; {error}" if record.error else error,
        )

    def _launch(self, record: Record, value: bytes, item: Item | None = None, after: Document | None = None) -> Write:
        if item is not None and len(value) > self._largest:
            value, after = encode(self._oversize_record(record, item, len(value))), None
        if item is not None and after is not None:
            self._ahead[item.target] = after
        self._skipped = 0
        return self._writer.propose(record.target, value, item)

    def _forget(self, settled: Item | None) -> None:
        if settled is not None and settled.offset == _UNPOSITIONED:
            self._taken = deque(item for item in self._taken if item is not settled)
        if not self.in_flight:
            self._ahead.clear()
            self._taken = deque(item for item in self._taken if item.offset != _UNPOSITIONED)

    def _drop_covered(self) -> None:
        cursor = self.fold.cursor
        if any(_is_covered(item, cursor) for item in self._taken):
            self._taken = deque(item for item in self._taken if not _is_covered(item, cursor))


def _input(item: Item) -> Input:
    if item.error:
        return Input(item.source, item.offset, ({"raw": base64.b64encode(item.raw).decode()},))
    return Input(item.source, item.offset, tuple(to_json(event) for event in item.events), _received_at(item))


def _time_of(item: Item) -> str:
    return rfc3339(item.events[-1].at) if item.events else ""


def _received_at(item: Item) -> str:
    received = item.events[-1].received if item.events else None
    return rfc3339(received) if received is not None else ""


def _is_covered(item: Item, cursor: Cursor) -> bool:
    position = cursor.get(item.source)
    return item.offset != _UNPOSITIONED and position is not None and item.offset < position.next


def _cursor_after(cursor: Cursor, item: Item) -> Cursor:
    if item.offset == _UNPOSITIONED:
        return cursor
    return {**cursor, item.source: Position(item.offset + 1, item.head)}
