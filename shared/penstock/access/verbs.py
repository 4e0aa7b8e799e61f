"""What an identity may do for a target, as verbs: the one table from roles to verbs, for doors and docs."""

from enum import StrEnum

from penstock.tokens import Identity, Role


class Verb(StrEnum):
    """What can be granted."""

    READ = "read"
    MEASURE = "measure"
    ANNOUNCE = "announce"
    PLAN = "plan"
    OPERATE = "operate"
    KILL = "kill"
    APPROVE = "approve"
    LIFT = "lift"


MEANING: dict[Verb, str] = {
    Verb.READ: "read rollouts, events, plans and flags",
    Verb.MEASURE: "send metrics (OTLP)",
    Verb.ANNOUNCE: "announce a release under the registered plan",
    Verb.PLAN: "register a plan, also by embedding it",
    Verb.OPERATE: "promote, hold, resume, roll back",
    Verb.KILL: "kill and edit flags",
    Verb.APPROVE: "approve stages, never of an own release or plan; a plan may name other roles",
    Verb.LIFT: "lift a quarantine; a plan may name other roles",
}
_ROLES: dict[Verb, tuple[Role, ...]] = {
    Verb.READ: (Role.READER, Role.PUBLISHER, Role.OPERATOR, Role.RELEASE_MANAGER, Role.PLANNER),
    Verb.MEASURE: (Role.METRICS,),
    Verb.ANNOUNCE: (Role.PUBLISHER,),
    Verb.PLAN: (Role.PLANNER,),
    Verb.OPERATE: (Role.OPERATOR,),
    Verb.KILL: (Role.OPERATOR, Role.RELEASE_MANAGER),
    Verb.APPROVE: (Role.RELEASE_MANAGER,),
    Verb.LIFT: (Role.RELEASE_MANAGER,),
}
_RECORDED = (Verb.ANNOUNCE, Verb.PLAN)
"""Verbs that an announcement carries, for rollout control decides by them."""


def roles_for(verb: Verb) -> tuple[str, ...]:
    """Return the roles that may use the verb; `admin` may use all."""
    return (*map(str, _ROLES[verb]), str(Role.ADMIN))


def may(who: Identity, verb: Verb, target: str) -> bool:
    """Whether the identity's own roles let it use the verb on the target."""
    return who.on(target).has(*_ROLES[verb])


def grants_of(who: Identity, target: str) -> tuple[str, ...]:
    """Return the verbs that an announcement for the target carries."""
    return tuple(str(verb) for verb in _RECORDED if may(who, verb, target))


def markdown_table() -> str:
    """Return the table of roles and verbs for the documentation."""
    roles = tuple(role for role in Role if role is not Role.ADMIN)
    lines = [f"| verb | {' | '.join(f'`{role}`' for role in roles)} | what |", f"|---|{'---|' * len(roles)}---|"]
    for verb in Verb:
        cells = " | ".join("yes" if role in _ROLES[verb] else "" for role in roles)
        lines.append(f"| `{verb}` | {cells} | {MEANING[verb]} |")
    return "\n".join(lines)
