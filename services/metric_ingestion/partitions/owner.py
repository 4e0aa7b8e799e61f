"""The owner of one partition, without I/O: adds frames, proposes records, and restores the same windows."""

import zlib
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import msgspec

from penstock.chain import (
    Accepted,
    ChainWriter,
    Cursor,
    Document,
    Fold,
    Input,
    Position,
    Proposal,
    Record,
    diff,
    digest_of,
    encode,
    merge,
)
from penstock.chain.replica import OBSERVATION, TICK
from penstock.errors import AppendError
from penstock.events import Closing, WindowClosed, to_json
from services.metric_ingestion.selection.watch import Watched
from services.metric_ingestion.windows.closing import Step, apply_document, document_for_plan, overdue, steps
from services.metric_ingestion.windows.frames import decode
from services.metric_ingestion.windows.target import TargetState

FRAMES = "metric-frames"


Append = Proposal[str]
"""A record to append, and the trace that it belongs to (or empty)."""


class Owner:
    """A partition's windows in memory, and its place in frames and log.

    Attributes:
        fold: the accepted log; position: offset of the next frame; states: by target.
        faults: what this code raised for targets; each is passed over until a restart, the others go on.
    """

    def __init__(self, fold: Fold, code: str, position: int = 0) -> None:
        self.fold = fold
        self.position = position
        self.states: dict[str, TargetState] = {}
        self.faults: dict[str, Exception] = {}
        self._code = code
        self._writer: ChainWriter[str] = ChainWriter(fold)
        self._recorded: deque[Accepted] = deque()
        self._skip: dict[str, int] = {}
        self._touched: set[str] = set()

    @property
    def in_flight(self) -> int:
        """Records proposed and not yet acknowledged."""
        return self._writer.in_flight

    @property
    def replaying(self) -> bool:
        """Whether recorded windows wait for their frames; nothing is decided until those have been read."""
        return bool(self._recorded)

    def restore(self) -> None:
        """Unpack the states that the documents of a snapshot's fold hold."""
        for target, kept in list(self.fold.documents.items()):
            state = _unpack(kept["state"])
            self.states[target] = state
            self._skip[target] = kept["at"]
            if state.document:
                self.fold.documents[target] = state.document
            else:
                self.fold.documents.pop(target, None)
        self.position = min(self._skip.values(), default=_position_of(self.fold.cursor))

    def fold_record(self, offset: int, value: bytes) -> Accepted | None:
        """Fold one record of the log during a restore; return it if it is accepted."""
        accepted, _ = self._writer.accept(offset, value)
        if accepted is not None:
            self._recorded.append(accepted)
            self._writer.resync()
        return accepted

    def start_at(self, earliest: int) -> None:
        """Start at the first frame that Kafka still has; apply recorded windows before it unchanged."""
        self.position = max(self.position, earliest)
        self._apply_recorded()

    def receive(self, offset: int, value: bytes, target: str) -> None:
        """Add the next frame.

        Raises:
            InvalidError: it cannot be read; it is skipped.
        """
        self.position = offset + 1
        try:
            if offset >= self._skip.get(target, 0) and target not in self.faults:
                frame = decode(value)
                self.states.setdefault(target, TargetState()).add_frame(frame)
                self._touched.add(target)
        finally:
            self._apply_recorded()

    def apply_plan(self, watched: Watched, now: int) -> list[Append]:
        """Record a plan for its target, unless it is in force already."""
        state = self.states.setdefault(watched.target, TargetState())
        if self.replaying or watched.target in self.faults or state.document.get("plan") == watched.plan_hash:
            return []
        before = state.document
        try:
            document = document_for_plan(state, watched.plan, watched.plan_hash, now)
            apply_document(state, document, ())
            cause = Input(OBSERVATION, -1, (to_json(watched.cause),))
            return [self._record(watched.target, before, Step(document), cause)]
        except Exception as error:
            self.faults[watched.target] = error
            return []

    def overdue(self, lateness: int, now: int) -> bool:
        """Return whether the wall clock has made any window due; False while records are in flight or replayed."""
        if self.in_flight or self._recorded:
            return False
        return any(self._is_overdue(target, lateness, now) for target in self.states)

    def decide(self, lateness: int, now: int | None, most: int = 256) -> list[Append]:
        """Close what the frames since the last call have made due, and, where `now` is given, what the clock has.

        Args:
            lateness: nanoseconds that a window stays open for late points.
            now: Unix nanoseconds; None where frames wait unread, for they may hold points of windows that seem over.
        """
        appends: list[Append] = []
        if self.replaying:
            return appends
        for target in sorted(self._touched if now is None else self.states):
            if not self.states[target].document or target in self.fold.parked or target in self.faults:
                continue
            if target not in self._touched and not self._is_overdue(target, lateness, now):
                continue
            try:
                for append in self._closed(target, lateness, now):
                    appends.append(append)
                    if self.in_flight >= most:
                        return appends
            except Exception as error:
                self.faults[target] = error
            self._touched.discard(target)
        return appends

    def _closed(self, target: str, lateness: int, now: int | None) -> Iterator[Append]:
        state = self.states[target]
        before = state.document
        for step in steps(state, target, lateness, now):
            yield self._record(target, before, step, self._cause(step))
            before = step.document

    def _is_overdue(self, target: str, lateness: int, now: int | None) -> bool:
        try:
            return target not in self.faults and overdue(self.states[target], lateness, now)
        except Exception as error:
            self.faults[target] = error
            return False

    def acknowledge(self, append: Append, offset: int) -> Accepted:
        """Fold a record of ours that Kafka stored at `offset`; records are acknowledged in order.

        Raises:
            AppendError: another copy wrote in between: it owns the partition, or did. Restore before you continue.
        """
        if offset != self.fold.next_offset:
            raise AppendError(f"another copy wrote to the log before offset {offset}")
        accepted, mine = self._writer.accept(offset, append.value)
        if accepted is None or mine is not append:
            raise AppendError(f"the record at offset {offset} does not chain to the head")
        return accepted

    def snapshot(self) -> Fold | None:
        """Return the fold with the whole memory in its documents; None while the memory is ahead of or behind the log.

        Each target has its own frame position: should two copies ever mix one generation, each target is still whole.
        """
        if self.in_flight or self._recorded or self.fold.parked or self.faults:
            return None
        kept = {target: {"at": self.position, "state": _pack(state)} for target, state in self.states.items()}
        return replace(self.fold, documents=kept, cursor=dict(self.fold.cursor), parked={})

    def _record(self, target: str, before: Document, step: Step, cause: Input) -> Append:
        value = encode(
            Record(
                prev=self._writer.head,
                cursor=self._cursor(),
                target=target,
                inputs=(cause,),
                events=tuple(to_json(event) for event in step.events),
                patch=diff(before, step.document),
                state=digest_of(step.document),
                time=to_json(step.events[-1])["time"] if step.events else "",
                plan=step.document["plan"],
                code=self._code,
            )
        )
        return self._writer.propose(target, value, step.trace)

    def _cursor(self) -> Cursor:
        return {FRAMES: Position(self.position)}

    def _cause(self, step: Step) -> Input:
        clock = any(isinstance(event, WindowClosed) and event.closed_by is Closing.CLOCK for event in step.events)
        return Input(TICK, -1, ()) if clock else Input(FRAMES, self.position - 1, ())

    def _apply_recorded(self) -> None:
        while self._recorded and _position_after(self._recorded[0]) <= self.position:
            accepted = self._recorded.popleft()
            record = accepted.record
            if record is not None and record.target:
                try:
                    state = self.states.setdefault(record.target, TargetState())
                    types = tuple(event["type"] for event in record.events)
                    apply_document(state, merge(state.document, record.patch), types)
                except Exception as error:
                    self.faults[record.target] = error


_state = msgspec.msgpack.Decoder(TargetState)


def _pack(state: TargetState) -> str:
    # Thousands of cumulative histograms must fit one message; as JSON they would not.
    return b64encode(zlib.compress(msgspec.msgpack.encode(state), 1)).decode()


def _unpack(text: str) -> TargetState:
    return _state.decode(zlib.decompress(b64decode(text)))


def _position_after(accepted: Accepted) -> int:
    return 0 if accepted.record is None else _position_of(accepted.record.cursor)


def _position_of(cursor: Cursor) -> int:
    position = cursor.get(FRAMES)
    return 0 if position is None else position.next
