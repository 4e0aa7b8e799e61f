"""Grants or refuses the requests of people, each once and with a reason."""

import msgspec

from penstock.errors import InvalidError
from penstock.events import (
    ArchiveRequested,
    FlagArchived,
    FlagEdited,
    FlagKilled,
    FlagRequest,
    FlagSubmitted,
    KillLifted,
    KillRequested,
    OptOutRequested,
    UndoRequested,
)
from services.flag_control.flag.change import Change, definition_of
from services.flag_control.flag.definitions import parse_definition
from services.flag_control.flag.rollout_rule import forbids_archive, forbids_definition
from services.flag_control.flag.state import Kill


def on_request(change: Change, request: FlagRequest) -> None:
    """Grant or refuse a request, once."""
    if request.id in change.state.decided_requests:
        return
    state = change.state
    change.state = state.with_request(request.id)
    if state.version == 0 and not isinstance(request, FlagSubmitted):
        change.refuse(request, "unknown", "there is no such flag; see `penstock flags list`")
    elif state.archived and not isinstance(request, KillRequested) and not _lifts(request):
        change.refuse(request, "not_allowed", f"the flag is archived at {state.archived!r}; its key is not used again")
    else:
        _grant(change, request)
    if isinstance(request, KillRequested) and all(kill.id != request.id for kill in change.state.kills):
        change.state = change.state.with_closed_kill(request.id, change.at.isoformat())


def _lifts(request: FlagRequest) -> bool:
    return isinstance(request, UndoRequested) and request.kill is not None


def _grant(change: Change, request: FlagRequest) -> None:
    match request:
        case KillRequested():
            kill = Kill(request.id, request.actor or "", request.reason, request.time.isoformat())
            change.put(kills=(*change.state.kills, kill))
            change.apply_version(request.type)
            change.report_version(FlagKilled, kill=request.id, reason=request.reason, exposure=change.exposure_before)
        case UndoRequested(kill=str(kill), version=None):
            _lift(change, request, kill)
        case UndoRequested(kill=None, version=int(version)):
            _go_back(change, request, version)
        case UndoRequested():
            change.refuse(request, "invalid", "name either the kill to lift or the version to go back to")
        case OptOutRequested():
            _opt_out(change, request)
        case FlagSubmitted():
            _define(change, request)
        case ArchiveRequested():
            _archive(change, request)


def _lift(change: Change, request: UndoRequested, kill: str) -> None:
    left = tuple(known for known in change.state.kills if known.id != kill)
    if len(left) == len(change.state.kills):
        there = ", ".join(known.id for known in left) or "none"
        change.refuse(request, "unknown", f"no kill {kill!r} is in force; there is: {there}")
        return
    change.state = change.state.with_closed_kill(kill, change.at.isoformat())
    change.put(kills=left)
    change.apply_version(request.type)
    change.report_version(KillLifted, kill=kill, reason=request.reason, exposure=change.exposure)


def _go_back(change: Change, request: UndoRequested, version: int) -> None:
    known = change.state.as_of(version) if version <= change.state.version else None
    if known is None:
        oldest, newest = min(map(int, change.state.history)), change.state.version
        change.refuse(request, "unknown", f"version {version} is not remembered; there are {oldest} to {newest}")
    elif why := forbids_definition(change.state, known.definition):
        change.refuse(request, "not_allowed", why)
    else:
        change.put(definition=known.definition, opted_out=known.opted_out)
        _edited(change, request, "undo")


def _opt_out(change: Change, request: OptOutRequested) -> None:
    before = change.state.opted_out.get(request.attribute, ())
    if request.remove:
        after = tuple(value for value in before if value not in request.values)
    else:
        after = (*before, *(value for value in dict.fromkeys(request.values) if value not in before))
    others = {name: values for name, values in change.state.opted_out.items() if name != request.attribute}
    change.put(opted_out={**others, **({request.attribute: after} if after else {})})
    _edited(change, request, "opt_out")


def _define(change: Change, request: FlagSubmitted) -> None:
    try:
        definition = parse_definition(change.target, request.definition)
    except InvalidError as error:
        change.refuse(request, "invalid", str(error))
        return
    if why := forbids_definition(change.state, definition):
        change.refuse(request, "not_allowed", why)
        return
    lifecycle = definition.lifecycle
    if not lifecycle.created:
        created = change.state.definition.lifecycle.created or request.time.date().isoformat()
        lifecycle = msgspec.structs.replace(lifecycle, created=created)
    change.put(definition=msgspec.structs.replace(definition, lifecycle=lifecycle))
    _edited(change, request, "definition")


def _archive(change: Change, request: ArchiveRequested) -> None:
    definition = change.state.definition
    if request.variant not in definition.variants:
        there = ", ".join(sorted(definition.variants))
        change.refuse(request, "invalid", f"{request.variant!r} is no variant: there are {there}")
    elif why := forbids_archive(change.state, request.variant):
        change.refuse(request, "not_allowed", why)
    else:
        change.put(archived=request.variant, archived_under=change.state.reach.rollout)
        change.apply_version(request.type)
        after = definition_of(change.state)
        change.report_version(FlagArchived, variant=request.variant, reason=request.reason, definition=after)


def _edited(change: Change, request: FlagRequest, what: str) -> None:
    diff = change.diff()
    change.apply_version(request.type)
    after = definition_of(change.state)
    change.report_version(FlagEdited, what=what, reason=request.reason, diff=diff, definition=after)
