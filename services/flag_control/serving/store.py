"""Immutable flag sets: one serialisation per revision, whatever the number of clients; a one-slot mailbox for each."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from penstock.chain.document import canonical
from services.flag_control.evaluation.bucketing import Bucketing, Document, splits
from services.flag_control.evaluation.evaluator import Evaluator
from services.flag_control.evaluation.source import Source, set_id_of

EVERYTHING = ""
"""Selector of all sources merged, later ones winning."""


@dataclass(frozen=True)
class FlagSet:
    """What one selector sees.

    Attributes:
        body: the exact bytes that flagd sync serves, `{"flags": {...}}`; revision: their SHA-256, in hex.
        timed: some targeting reads the clock, so answers may change within a revision.
        families: languages of clients that were sent it.
    """

    selector: str
    flags: Mapping[str, Document]
    metadata: Mapping[str, object]
    bucketing: Mapping[str, Bucketing]
    body: bytes
    revision: str
    families: set[str] = field(default_factory=set, compare=False)

    @cached_property
    def evaluator(self) -> Evaluator:
        """The core with these flags loaded, made when first asked for."""
        return Evaluator(self.flags, self.bucketing)

    @cached_property
    def names(self) -> Mapping[str, str]:
        """By key, the name that evaluations are counted under: `flagSetId/key`, in production the target."""
        return {key: f"{set_id}/{key}" if (set_id := set_id_of(flag)) else key for key, flag in self.flags.items()}

    @cached_property
    def split(self) -> frozenset[str]:
        """Keys of the flags that divide users by percentage."""
        return frozenset(key for key, flag in self.flags.items() if splits(flag.get("targeting")))

    @cached_property
    def timed(self) -> bool:
        """Whether a flag's targeting reads `$flagd.timestamp`."""
        return b"$flagd.timestamp" in self.body

    @cached_property
    def answers(self) -> bytes:
        """What the answers to a context depend on: the revision, how percentages are hashed, and the set's metadata."""
        return canonical([self.revision, self.bucketing, self.metadata])

    def version(self, key: str) -> int | None:
        """Return the flag's own version, None where it has none."""
        version = self.flags[key].get("metadata", {}).get("version") if key in self.flags else None
        return version if isinstance(version, int) else None


class Mailbox:
    """One slot: a reader that is slow finds the newest set, never a queue."""

    def __init__(self) -> None:
        self._newest: FlagSet | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.closed = False

    def put(self, flag_set: FlagSet) -> None:
        """Replace whatever is waiting."""
        self._newest = flag_set
        self._wake()

    def close(self) -> None:
        """Close the mailbox: its reader receives None."""
        self.closed = True
        self._wake()

    async def next_set(self, seconds: float | None = None) -> FlagSet | None:
        """Wait for a set that was not returned before and return the newest; None once closed, or after `seconds`."""
        if self._newest is None and not self.closed:
            await self._filled(seconds)
        newest, self._newest = self._newest, None
        return None if self.closed else newest

    async def _filled(self, seconds: float | None) -> None:
        # A bare future: an event and a timeout around it cost every stream of a push twice as much as all the rest.
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(seconds, self._wake) if seconds is not None else None
        try:
            await self._waiter
        finally:
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class FlagStore:
    """All sources and what every selector sees of them. Not for threads: it belongs to one event loop."""

    def __init__(self) -> None:
        self._sources: dict[str, Source] = {}
        self._sets: dict[str, FlagSet] = {}
        self._readers: dict[str, set[Mailbox]] = {}

    @property
    def sources(self) -> Mapping[str, Source]:
        """Sources by name, in order of precedence."""
        return self._sources

    def publish(self, source: Source) -> None:
        """Replace the source of that name, in its place, and notify every reader whose set changed."""
        before = self._sources.get(source.name)
        self._sources[source.name] = source
        touched = source.set_ids | (before.set_ids if before else frozenset())
        self._refresh(EVERYTHING, f"source={source.name}", *(f"flagSetId={name}" for name in touched))

    def withdraw(self, name: str) -> None:
        """Forget a source: its readers keep what they have, for an empty set would make clients drop their flags."""
        before = self._sources.pop(name, None)
        if before is None:
            return
        self._sets.pop(f"source={name}", None)
        for set_id in before.set_ids:
            self._sets.pop(f"flagSetId={set_id}", None)
        if self._sources:
            self._refresh(EVERYTHING, *(f"flagSetId={set_id}" for set_id in before.set_ids))
        else:
            self._sets.pop(EVERYTHING, None)

    def get(self, selector: str = EVERYTHING) -> FlagSet | None:
        """Return what the selector sees; None where nothing is, or was, there to see."""
        known = self._sets.get(selector)
        if known is not None:
            return known
        selector = normal(selector)
        flag_set = self._sets.get(selector) or self._build(selector)
        if flag_set is not None:
            self._sets[selector] = flag_set
        return flag_set

    @contextmanager
    def subscribed(self, selector: str) -> Iterator[Mailbox]:
        """Give a mailbox that holds the present set, if there is one, and then every newer one."""
        selector, mailbox = normal(selector), Mailbox()
        readers = self._readers.setdefault(selector, set())
        readers.add(mailbox)
        present = self.get(selector)
        if present is not None:
            mailbox.put(present)
        try:
            yield mailbox
        finally:
            readers.discard(mailbox)
            if not readers:
                self._readers.pop(selector, None)

    def close(self) -> None:
        """Let every reader go."""
        for readers in self._readers.values():
            for mailbox in readers:
                mailbox.close()

    def _refresh(self, *selectors: str) -> None:
        for selector in selectors:
            before = self._sets.pop(selector, None)
            readers = self._readers.get(selector)
            if before is None and not readers:
                continue
            after = self.get(selector)
            if after is None:
                continue
            if before is not None and before.revision == after.revision:
                # Only its metadata changed, such as `stale`; its readers need no new set.
                self._sets[selector] = before if before.answers == after.answers else after
                continue
            for mailbox in readers or ():
                mailbox.put(after)

    def _build(self, selector: str) -> FlagSet | None:
        kind, _, name = selector.partition("=")
        if kind == "source":
            return _merged(selector, [self._sources[name]], _any) if name in self._sources else None
        if kind == "flagSetId":
            sources = [source for source in self._sources.values() if name in source.set_ids]
            return _merged(selector, sources, lambda flag: set_id_of(flag) == name) if sources else None
        return _merged(selector, list(self._sources.values()), _any) if self._sources else None


def normal(selector: str) -> str:
    """Return the selector in its full form: flagd takes a bare name for a source."""
    selector = selector.strip()
    if not selector or selector.startswith(("flagSetId=", "source=")):
        return selector
    return f"source={selector}"


def _any(_: Document) -> bool:
    return True


def _merged(selector: str, sources: list[Source], belongs: Callable[[Document], bool]) -> FlagSet:
    flags: dict[str, Document] = {}
    metadata: dict[str, object] = {}
    bucketing: dict[str, Bucketing] = {}
    for source in sources:
        metadata.update(source.metadata)
        for key, flag in source.flags.items():
            if belongs(flag):
                flags[key], bucketing[key] = flag, source.bucketing
    body = canonical({"flags": flags})
    return FlagSet(selector, flags, metadata, bucketing, body, hashlib.sha256(body).hexdigest())
