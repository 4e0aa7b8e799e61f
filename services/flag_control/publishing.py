"""From accepted state to what clients are served: lowered before the log has it, raised only after."""

import logging
from collections.abc import Callable, Mapping

from penstock.chain import Document
from penstock.errors import InvalidError, PermanentError
from penstock.events import Event, FlagRequest

from .bucketing import Bucketing
from .change import document_of
from .decide import decide
from .exposure import key_of, set_of
from .source import Source
from .state import FlagState, dump, load
from .store import FlagStore
from .validate import check

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
        self._ahead: dict[str, list[Event]] = {}
        self._served: dict[str, FlagState] = {}

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

    def lower(self, event: Event) -> None:
        """Put a kill or a rollback in force at once, on top of whatever the log accepts until it has it too."""
        waiting = self._ahead.setdefault(event.target, [])
        if all(known.id != event.id for known in waiting):
            waiting.append(event)
        self.publish(event.target)

    def waiting(self, target: str) -> tuple[str, ...]:
        """Return the ids of what is in force ahead of the log."""
        return tuple(event.id for event in self._ahead.get(target, ()))

    def recorded(self, target: str) -> tuple[str, ...]:
        """Return the ids of the requests that the accepted log has, and nothing that is only in force ahead of it."""
        document = self._accepted(target)
        return load(document).requests if document else ()

    def settle(self, target: str, decided: frozenset[str]) -> None:
        """Take a target's newest accepted state; `decided` are ids of the inputs that it covers."""
        accepted = load(self._accepted(target))
        left = [
            event
            for event in self._ahead.get(target, ())
            if event.id not in decided and not (isinstance(event, FlagRequest) and event.id in accepted.requests)
        ]
        if left:
            self._ahead[target] = left
        else:
            self._ahead.pop(target, None)
        self.publish(target)

    def publish(self, *targets: str) -> None:
        """Serve the targets as they stand; of a flag that does not hold, the last good one stays."""
        sets: dict[str, dict[str, Document]] = {}
        for target in targets:
            state = self._state_of(target)
            flag = document_of(target, state)
            if flag is None or not _holds(target, flag, state.definition.lenient):
                continue
            self._served[target] = state
            name = set_of(target)
            if name not in sets:
                present = self._store.sources.get(name)
                sets[name] = dict(present.flags) if present else {}
            sets[name][key_of(target)] = flag
        for name, flags in sets.items():
            bucketing = self._bucketings.get(name, self._bucketings[""])
            self._store.publish(Source(name, flags, {"flagSetId": name}, bucketing))

    def _state_of(self, target: str) -> FlagState:
        document = self._accepted(target)
        for event in self._ahead.get(target, ()):
            try:
                document = decide(target, document, event).document
            except PermanentError as error:
                log.error("%s: %s is not in force ahead of the log: %s", target, event.type, error)
        return load(document) if document else load(dump(FlagState()))


def _holds(target: str, flag: Document, lenient: bool) -> bool:
    try:
        check(target, {"flags": {key_of(target): flag}}, lenient=lenient)
    except InvalidError as error:
        log.error("%s keeps its last good flag: %s", target, error)
        return False
    return True
