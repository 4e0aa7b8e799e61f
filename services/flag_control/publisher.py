"""Turns accepted state into what clients are served: exposure is lowered before the log has it, raised only after."""

import logging
from collections.abc import Callable, Mapping

from penstock.chain import Document
from penstock.chain.document import canonical
from penstock.errors import InvalidError
from penstock.events import Event, FlagRequest, KillRequested
from services.flag_control.decide import decide
from services.flag_control.evaluation.bucketing import Bucketing
from services.flag_control.evaluation.source import Source
from services.flag_control.evaluation.validate import check
from services.flag_control.flag.change import document_of
from services.flag_control.flag.exposure import key_of, set_of
from services.flag_control.flag.state import FlagState, dump, load
from services.flag_control.serving.store import FlagStore

log = logging.getLogger(__name__)


class Publisher:
    """Keeps the store equal to the accepted state, with what must not wait for the log put on top."""

    def __init__(
        self,
        store: FlagStore,
        accepted: Callable[[str], Document],
        bucketings: Mapping[str, Bucketing] | None = None,
    ) -> None:
        """Publish into `store`; `accepted` gives a target's accepted document, `bucketings` hashing by set."""
        self._store = store
        self._bucketings = bucketings or {"": Bucketing.V3}
        self._accepted = accepted
        self._given: Mapping[str, Document] | None = None
        self._ahead: dict[str, list[Event]] = {}
        self._offsets: dict[str, int] = {}
        self._served: dict[str, FlagState] = {}
        self._good: dict[str, tuple[Document, tuple[tuple[Event, int], ...]]] = {}

    @property
    def targets(self) -> tuple[str, ...]:
        """Every target with a flag."""
        return tuple(self._served)

    def knows(self, target: str) -> bool:
        """Whether the target's flag is served."""
        return target in self._served

    def state(self, target: str) -> FlagState:
        """Return the flag as it is served; kills and rollbacks that the log does not have yet included."""
        return self._served.get(target, FlagState())

    def good(self, target: str) -> tuple[Document, tuple[tuple[Event, int], ...]] | None:
        """Return the accepted document behind what is served, and the rollbacks of other logs not decided yet."""
        return self._good.get(target)

    def serve_from(self, documents: Mapping[str, Document]) -> None:
        """Serve from these documents, whatever is accepted until `release`: the log is not restored yet."""
        self._given = documents

    def serve_newer(self, documents: Mapping[str, Document]) -> None:
        """Serve from these documents too, in place of older ones, while the log is not restored yet."""
        if self._given is not None:
            self._given = {**self._given, **documents}

    def serve_on(self) -> None:
        """Serve on from the documents behind what is served now, until `release`."""
        self._given = {target: document for target, (document, _) in self._good.items()}

    def release(self, documents: Mapping[str, Document], covered: Callable[[str, int], bool]) -> None:
        """Serve from the restored log: its `documents`, and nothing that it does not know.

        `covered` tells whether the log has decided the record at an offset of the target's rollout log.
        """
        self._given = None
        for target in list(self._ahead):
            left = [event for event in self._ahead[target] if not self._decided(event, covered)]
            # A kill waits for its flag; a rollback of one that the log does not know belongs to another log.
            self._ahead[target] = [one for one in left if target in documents or isinstance(one, FlagRequest)]
        unknown = self._served.keys() - documents.keys()
        for target in unknown:
            log.warning("%s is not in the flag log and is no longer served", target)
            del self._served[target]
            self._good.pop(target, None)
        self.publish(*documents, without=frozenset(unknown))

    def lower(self, event: Event, offset: int = -1) -> None:
        """Put a kill or a rollback in force at once, on top of whatever the log accepts until it has it too.

        `offset` is its place in the log that it came from.
        """
        self.put_ahead(event, offset)
        self.publish(event.target)

    def put_ahead(self, event: Event, offset: int = -1) -> None:
        """Have an event in force from the next time on that its target is published."""
        waiting = self._ahead.setdefault(event.target, [])
        if all(known.id != event.id for known in waiting):
            waiting.append(event)
        self._offsets[event.id] = offset

    def waiting(self, target: str) -> tuple[str, ...]:
        """Return the ids of what is in force ahead of the log."""
        return tuple(event.id for event in self._ahead.get(target, ()))

    @property
    def serves_given(self) -> bool:
        """Whether it serves from documents that it was given: the log is not restored yet."""
        return self._given is not None

    @property
    def ahead(self) -> frozenset[str]:
        """Ids of everything in force ahead of the log."""
        return frozenset(one.id for events in self._ahead.values() for one in events)

    @property
    def kills_ahead(self) -> tuple[KillRequested, ...]:
        """Kills in force that the log does not have yet."""
        return tuple(one for events in self._ahead.values() for one in events if isinstance(one, KillRequested))

    def recorded(self, target: str) -> frozenset[str]:
        """Return the ids of the requests that the accepted log has, and nothing that is only in force ahead of it."""
        document = self._accepted(target) if self._given is None else {}
        return load(document).decided_requests if document else frozenset()

    def apply_accepted(self, target: str, decided: frozenset[str]) -> None:
        """Serve a target's newest accepted state; `decided` are ids of the inputs that it covers."""
        requests = load(self._accepted(target)).decided_requests
        left = [
            event
            for event in self._ahead.get(target, ())
            if event.id not in decided and not (isinstance(event, FlagRequest) and event.id in requests)
        ]
        for event in self._ahead.pop(target, ()):
            if event not in left:
                self._offsets.pop(event.id, None)
        if left:
            self._ahead[target] = left
        self.publish(target)

    def publish(self, *targets: str, without: frozenset[str] = frozenset()) -> None:
        """Serve the present state of the targets and drop those `without`; an invalid flag stays as it was."""
        sets: dict[str, dict[str, Document]] = {set_of(target): {} for target in without}
        for target in targets:
            document = self._document(target)
            try:
                state = self._state_of(target, document)
                flag = document_of(target, state)
                if flag is None or not (
                    self._serves(target, flag) or _is_valid(target, flag, state.definition.lenient)
                ):
                    continue
            except Exception:
                log.exception("%s keeps its last good flag", target)
                continue
            self._served[target] = state
            rollbacks = [event for event in self._ahead.get(target, ()) if not isinstance(event, FlagRequest)]
            self._good[target] = (document, tuple((event, self._offsets[event.id]) for event in rollbacks))
            sets.setdefault(set_of(target), {})[key_of(target)] = flag
        for name, flags in sets.items():
            self._publish_set(name, flags, {key_of(target) for target in without if set_of(target) == name})

    def _publish_set(self, name: str, changed: Mapping[str, Document], gone: set[str]) -> None:
        present = self._store.sources.get(name)
        before = present.flags if present else {}
        flags = {**{key: flag for key, flag in before.items() if key not in gone}, **changed}
        if not flags:
            self._store.withdraw(name)
            return
        metadata: dict[str, object] = {"flagSetId": name}
        if self._given is not None:
            metadata["stale"] = True
        self._store.publish(Source(name, flags, metadata, self._bucketings.get(name, self._bucketings[""])))

    def _serves(self, target: str, flag: Document) -> bool:
        # Compared as JSON: to Python, 1 == 1.0 == True.
        present = self._store.sources.get(set_of(target))
        return present is not None and canonical(present.flags.get(key_of(target), {})) == canonical(flag)

    def _decided(self, event: Event, covered: Callable[[str, int], bool]) -> bool:
        if isinstance(event, FlagRequest):
            return event.id in self.recorded(event.target)
        return covered(event.target, self._offsets[event.id])

    def _document(self, target: str) -> Document:
        return self._accepted(target) if self._given is None else self._given.get(target, {})

    def _state_of(self, target: str, document: Document) -> FlagState:
        for event in self._ahead.get(target, ()):
            try:
                document = decide(target, document, event).document
            except Exception as error:
                log.error("%s: %s is not in force ahead of the log: %r", target, event.type, error)
        return load(document) if document else load(dump(FlagState()))


def _is_valid(target: str, flag: Document, lenient: bool) -> bool:
    try:
        check(target, {"flags": {key_of(target): flag}}, lenient=lenient)
    except InvalidError as error:
        log.error("%s keeps its last good flag: %s", target, error)
        return False
    return True
