"""A draft of a decision on one flag: its state, what clients are served after it, and the events that report it."""

from typing import Any, TypeVar

import msgspec

from penstock.chain import Document
from penstock.chain.document import canonical
from penstock.chain.draft import Draft
from penstock.events import EditRefused, Event, FlagDefinition, FlagDiff, FlagLifecycle, FlagRequest, RolloutAnnounced
from services.flag_control.flag.exposure import flag_document
from services.flag_control.flag.lifecycle import armed, expires_at
from services.flag_control.flag.state import FlagState, Revision, content_hash

SOURCE = "/penstock/flag_control"
_MOST_PATHS = 100
_SERVED = ("variants", "metadata")

E = TypeVar("E", bound=Event)


class Change(Draft[FlagState]):
    """Collects what one input does to a flag."""

    def __init__(self, target: str, state: FlagState, cause: Event) -> None:
        super().__init__(SOURCE, target, state, cause, state.decided)
        self._before = state

    @property
    def exposure(self) -> float:
        """Share that clients are served now: nothing where a kill or the archive overrides the ramp."""
        return effective_exposure(self.state)

    @property
    def taken_over(self) -> FlagDefinition | None:
        """The definition, where another rollout has the flag now than before; it may have made or changed it."""
        after, before = self.state, self._before
        known = before.version > 0 and after.reach.rollout == before.reach.rollout
        return None if known else definition_of(after)

    @property
    def exposure_before(self) -> float:
        """Share that clients were served before."""
        return effective_exposure(self._before)

    def apply_version(self, why: str) -> None:
        """Give the flag a new version if anything of it has changed, and arm its timers."""
        served = flag_document(self.target, self.state)
        at = self.at.isoformat()
        if self.state.version == 0 or self._is_another(served):
            version = self.state.version + 1
            served["metadata"]["version"] = version
            self.state = self.state.with_revision(
                Revision(
                    version=version,
                    revision=content_hash(served),
                    at=at,
                    why=why,
                    actor=self.cause.actor or "",
                    definition=self.state.definition,
                    opted_out=self.state.opted_out,
                )
            )
        unsettled = self.state.live or 0 < self.state.reach.exposure < 1
        self.put(settled="" if unsettled else self.state.settled or at)
        self.state = armed(self.state, self.at)

    def add(self, kind: type[E], /, **fields: Any) -> E:
        """Add an event and return it; it belongs to the input's rollout, or to the one that has the flag."""
        return super().add(kind, rollout=self.cause.rollout or self.state.reach.rollout or None, **fields)

    def report_version(self, kind: type[E], **fields: Any) -> None:
        """Add an event about the flag at its present version."""
        state = self.state
        self.add(kind, version=state.version, revision=state.revision, release=state.release or None, **fields)

    def refuse(self, request: FlagRequest | RolloutAnnounced, reason: str, detail: str) -> None:
        """Refuse the request, with the reason."""
        self.add(EditRefused, request=request.type, reason=reason, detail=detail)

    def diff(self) -> tuple[FlagDiff, ...]:
        """Return the changes of what clients are served, path by path, then the other changes of the definition."""
        served = _differences("", *(flag_document(self.target, state) for state in (self._before, self.state)))
        defined = _differences("", *(_unseen(state) for state in (self._before, self.state)))
        return tuple([*served, *defined][:_MOST_PATHS])

    def _is_another(self, served: Document) -> bool:
        before = flag_document(self.target, self._before)
        return any(
            canonical(one) != canonical(other)
            for one, other in ((served, before), (_standing(self.state), _standing(self._before)))
        )


def definition_of(state: FlagState) -> FlagDefinition:
    """Return the definition as events report it."""
    definition, lifecycle = state.definition, state.definition.lifecycle
    return FlagDefinition(
        variants=definition.variants,
        on=definition.on,
        off=definition.off,
        segments=tuple(sorted(definition.segments)),
        lifecycle=FlagLifecycle(
            kind=lifecycle.type,
            owner=lifecycle.owner or None,
            created=lifecycle.created or None,
            expires=expires_at(lifecycle),
            ticket=lifecycle.ticket or None,
        ),
    )


def effective_exposure(state: FlagState) -> float:
    """Return the share of the audience that is served the release."""
    if state.kills or state.rolled_back:
        return 0.0
    if state.archived:
        return 0.0 if state.archived == state.definition.off else 1.0
    return state.reach.exposure


def _standing(state: FlagState) -> Document:
    """Return the parts of the state that do not depend on the rollout."""
    standing = {name: getattr(state, name) for name in ("definition", "opted_out", "kills", "archived")}
    document: Document = msgspec.to_builtins(standing)
    return document


def _unseen(state: FlagState) -> Document:
    """Return the parts of the definition that clients are not served as they are."""
    definition: Document = msgspec.to_builtins(state.definition)
    unseen = {name: value for name, value in definition.items() if name not in _SERVED}
    return {"definition": unseen, "opted_out": msgspec.to_builtins(state.opted_out)}


def _differences(path: str, before: Any, after: Any) -> list[FlagDiff]:
    if isinstance(before, dict) and isinstance(after, dict):
        found = []
        for name in sorted({*before, *after}):
            inner = f"{path}.{name}" if path else str(name)
            if inner != "metadata":
                found += _differences(inner, before.get(name), after.get(name))
        return found
    # Compared as JSON: to Python, 1 == 1.0 == True.
    if canonical(before) == canonical(after):
        return []
    return [FlagDiff(path=path, before=before, after=after)]


def document_of(target: str, state: FlagState) -> Document | None:
    """Return the flag as it is served, None where there is no such flag yet."""
    return flag_document(target, state) if state.version else None
