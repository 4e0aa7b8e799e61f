"""What the exit code tells a script: one meaning a number, in one place."""

from enum import IntEnum

from penstock.errors import (
    EvidenceExpiredError,
    InvalidError,
    NotFoundError,
    PenstockError,
    RefusedError,
    TransientError,
    UnauthorizedError,
)
from penstock.events import Why
from penstock.rollout import Phase


class Exits(IntEnum):
    """Exit codes; `wait` tells outcomes apart by them."""

    REACHED = 0
    INTERNAL = 1
    USAGE = 2
    TIMEOUT = 3
    AUTH = 4
    NOT_FOUND = 5
    UNREACHABLE = 6
    APPROVAL = 8
    ROLLED_BACK = 10
    ABORTED = 11
    HELD = 12
    SUPERSEDED = 13


MEANING: dict[Exits, str] = {
    Exits.REACHED: "reached: what was asked for is so",
    Exits.INTERNAL: "internal error, or something did not hold that had to",
    Exits.USAGE: "usage: the request does not fit its form, or the present state",
    Exits.TIMEOUT: "timeout",
    Exits.AUTH: "not authorised",
    Exits.NOT_FOUND: "not found",
    Exits.UNREACHABLE: "the server cannot be reached",
    Exits.APPROVAL: "waiting for an approval",
    Exits.ROLLED_BACK: "rolled back",
    Exits.ABORTED: "aborted by a person",
    Exits.HELD: "held, or inconclusive",
    Exits.SUPERSEDED: "superseded by a newer release",
}

_BY_PHASE = {
    Phase.COMPLETED: Exits.REACHED,
    Phase.AWAITING_APPROVAL: Exits.APPROVAL,
    Phase.HELD: Exits.HELD,
    Phase.SUPERSEDED: Exits.SUPERSEDED,
}
_BY_PERSON = {Why.PERSON, Why.OVERRIDE, Why.FLAG_KILLED}


def of_phase(phase: str, why: str | None) -> Exits | None:
    """Return what a rollout's phase means to a script, None while it is under way.

    Args:
        phase: of the rollout.
        why: ground of the rollback, where it is rolled back.
    """
    if phase == Phase.ROLLED_BACK:
        return Exits.ABORTED if why in _BY_PERSON else Exits.ROLLED_BACK
    return _BY_PHASE.get(Phase(phase))


def of_error(error: PenstockError) -> Exits:
    """Return the exit code of an error."""
    match error:
        case UnauthorizedError():
            return Exits.AUTH
        case NotFoundError() | EvidenceExpiredError():
            return Exits.NOT_FOUND
        case InvalidError() | RefusedError():
            return Exits.USAGE
        case TransientError():
            return Exits.UNREACHABLE
        case _:
            return Exits.INTERNAL
