"""What an identity may do for a target, as verbs; recorded with what it does, so that deciders need no tokens file."""

from enum import StrEnum

from penstock.tokens import Identity, Role


class Verb(StrEnum):
    """What can be granted."""

    ANNOUNCE = "announce"
    PLAN = "plan"


_ROLES = {Verb.ANNOUNCE: Role.PUBLISHER, Verb.PLAN: Role.PLANNER}


def grants_of(who: Identity, target: str) -> tuple[str, ...]:
    """Return the verbs that the identity may use on the target."""
    here = who.on(target)
    return tuple(str(verb) for verb, role in _ROLES.items() if here.has(role))
