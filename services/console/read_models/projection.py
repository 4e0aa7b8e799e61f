"""Everything the console knows, folded from public topics. It decides nothing; a restart reads everything again."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from heapq import merge

from penstock.events import (
    Cohort,
    Event,
    ExplicitHistogram,
    ExponentialHistogram,
    ExposureChanged,
    FlagServed,
    Measure,
    PlanRegistered,
    QuarantineLifted,
    Ratio,
    RolloutEvent,
    StageJudged,
    VersionQuarantined,
    WindowClosed,
    WindowsRefused,
)
from penstock.targets import parse_target
from services.console.read_models.entries import Entry, Wanted
from services.console.read_models.flag import FlagBook
from services.console.read_models.rollout import Book

MOST_RECENT = 20_000
MOST_EVIDENCE = 600
MOST_IDS = 100_000
MOST_WINDOWS = 5_000
_LATE_S = 60.0
MOST_ENDED = 5_000


class TargetBook:
    """The read model of a target: its flag, rollouts in order, plans by name, quarantined versions, last window."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.rollouts: list[Book] = []
        self.flag = FlagBook()
        self.plans: dict[str, PlanRegistered] = {}
        self.quarantined: dict[str, VersionQuarantined] = {}
        self.window: WindowClosed | None = None
        self.refused: WindowsRefused | None = None
        self._canary: deque[tuple[datetime, float]] = deque(maxlen=MOST_WINDOWS)
        self._since: datetime | None = None

    def measure(self, window: WindowClosed) -> None:
        """Add one window."""
        self.window = window
        self._since = self._since or window.end
        requests = max((_requests(m) for m in window.measures.get(Cohort.CANARY, {}).values()), default=0.0)
        if requests:
            self._canary.append((window.end, requests))

    def exposed(self, book: Book) -> int | None:
        """Return how many requests of users the rollout's canary served, as the gates' metrics counted them.

        None where some of its windows are no longer in memory: a partial count would look complete.
        """
        began = book.entered[0].time if book.entered else None
        if began is None:
            return 0
        if self._since is None or self._since - timedelta(seconds=_longest(book)) > began:
            return None
        if len(self._canary) == MOST_WINDOWS and self._canary[0][0] > began:
            return None
        until = book.ended_at
        return round(sum(n for end, n in self._canary if end > began and (until is None or end <= until)))


class Projection:
    """Receives events and answers queries.

    Attributes:
        seq: number of the last entry.
        listeners: called with each new entry.
    """

    def __init__(self) -> None:
        self.seq = 0
        self.listeners: list[Callable[[Entry], None]] = []
        self._books: dict[str, Book] = {}
        self._targets: dict[str, TargetBook] = {}
        self._recent: deque[Entry] = deque(maxlen=MOST_RECENT)
        # Windows and verdicts come each second and are large; they must not push the decisions out.
        self._evidence: deque[Entry] = deque(maxlen=MOST_EVIDENCE)
        self._ids: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._caused: OrderedDict[str, Entry] = OrderedDict()

    def receive(self, topic: str, partition: int, offset: int, event: Event) -> Entry | None:
        """Add one event; None where it was received before (publishing is at least once)."""
        if not self._is_new(topic, event):
            return None
        self.seq += 1
        entry = Entry(self.seq, topic, partition, offset, event)
        (self._evidence if isinstance(event, WindowClosed | StageJudged) else self._recent).append(entry)
        if topic == "rollouts" and event.cause is not None:
            self._caused.setdefault(event.cause, entry)
            while len(self._caused) > MOST_RECENT:
                self._caused.popitem(last=False)
        self._file(entry)
        for listener in tuple(self.listeners):
            listener(entry)
        return entry

    def book(self, rollout: str) -> Book | None:
        """Return the read model of a rollout that has been announced."""
        book = self._books.get(rollout)
        return book if book is not None and book.state is not None else None

    def books(self) -> list[Book]:
        """Return all announced rollouts, the one that changed last first."""
        known = [book for book in self._books.values() if book.state is not None]
        return sorted(known, key=lambda book: book.state.updated_at if book.state else "", reverse=True)

    def target(self, target: str) -> TargetBook:
        """Return what is known of a target."""
        return self._targets.setdefault(target, TargetBook(target))

    def target_of(self, target: str) -> TargetBook:
        """Return what is known of a target, empty for an unknown one; it is not stored."""
        return self._targets.get(target) or TargetBook(target)

    def targets(self) -> Iterable[TargetBook]:
        """Return all targets by name."""
        return [self._targets[name] for name in sorted(self._targets)]

    def flags(self, environment: str, service: str) -> list[str]:
        """Return flags of a service in an environment that have a registered plan."""
        parsed = [parse_target(name) for name, target in self._targets.items() if target.plans]
        return [t.flag for t in parsed if (t.environment, t.service) == (environment, service)]

    def caused_by(self, cause: str) -> Entry | None:
        """Return the first event on `rollouts` that this event caused."""
        return self._caused.get(cause)

    def entries(self, wanted: Wanted, after: int = 0) -> Iterator[Entry]:
        """Yield recent entries that are asked for, oldest first, beyond sequence number `after`."""
        for entry in merge(self._recent, self._evidence, key=lambda e: e.seq):
            if entry.seq > after and wanted.has(entry):
                yield entry

    def _is_new(self, topic: str, event: Event) -> bool:
        # A plan is published on `rollouts` and on the compacted `plans`: one event, two topics.
        # Two sources may use one id: CloudEvents are identified by both.
        key = (topic, f"{event.source} {event.id}")
        if key in self._ids:
            return False
        self._ids[key] = None
        while len(self._ids) > MOST_IDS:
            self._ids.popitem(last=False)
        return True

    def _file(self, entry: Entry) -> None:
        event = entry.event
        target = self.target(event.target)
        target.flag.fold(entry)
        match event:
            case PlanRegistered():
                target.plans[event.name] = event
            case QuarantineLifted():
                target.quarantined.pop(event.version, None)
            case VersionQuarantined():
                target.quarantined[event.version] = event
            case WindowClosed():
                target.measure(event)
            case WindowsRefused():
                target.refused = event
            case _:
                pass
        rollout = event.rollout
        if rollout is None and isinstance(event, ExposureChanged | FlagServed) and target.rollouts:
            rollout = target.rollouts[-1].id
        if rollout is not None:
            self._file_rollout(rollout, target, entry)

    def _file_rollout(self, rollout: str, target: TargetBook, entry: Entry) -> None:
        book = self._books.get(rollout)
        if book is None:
            book = self._books[rollout] = Book(rollout)
            self._forget_oldest()
        known = book.state is not None
        book.fold(entry)
        if not known and book.state is not None and isinstance(entry.event, RolloutEvent):
            target.rollouts.append(book)

    def _forget_oldest(self) -> None:
        if len(self._books) > MOST_ENDED:
            for rollout, book in self._books.items():
                if book.state is not None and not book.state.live:
                    del self._books[rollout]
                    owner = self._targets[book.state.target]
                    owner.rollouts = [other for other in owner.rollouts if other is not book]
                    return


def _longest(book: Book) -> float:
    """Seconds in which a first window may end: two of the plan's, for ingestion may be in the middle of one."""
    return 2 * book.plan.windows.length + _LATE_S if book.plan is not None else _LATE_S


def _requests(measure: Measure) -> float:
    if isinstance(measure, Ratio):
        return measure.total
    return float(measure.count) if isinstance(measure, ExplicitHistogram | ExponentialHistogram) else 0.0
