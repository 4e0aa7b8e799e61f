"""The state of a target in rollout control."""

from functools import lru_cache

import msgspec

from penstock.chain import Document
from penstock.plan import Plan, load_plan
from penstock.rollout import RolloutState

DEAD_MAN = "dead_man"

_MOST_REMEMBERED = 200


class TargetState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A target.

    Attributes:
        rollout: the present or last rollout; plan: exact text of its plan.
        plans: exact text of each registered plan by name.
        plan_editors: identities, normalized, that changed a plan since others last approved a release under it.
        deploys: rollout by `source id` of the deploy events received, oldest first.
        commands: ids of the last commands.
        quarantined: rollout that was rolled back, by version.
        timers: due times, RFC 3339, by name.
        decided: how many events were decided for the target, since versions count them; their ids differ by it.
    """

    rollout: RolloutState | None = None
    plan: str = ""
    plans: dict[str, str] = {}
    plan_editors: dict[str, tuple[str, ...]] = {}
    deploys: dict[str, str] = {}
    commands: tuple[str, ...] = ()
    quarantined: dict[str, str] = {}
    timers: dict[str, str] = {}
    decided: int = 0

    def with_deploy(self, key: str, rollout: str) -> "TargetState":
        """Return the state that remembers a deploy event; the oldest are forgotten."""
        kept = dict(list(self.deploys.items())[-(_MOST_REMEMBERED - 1) :])
        return msgspec.structs.replace(self, deploys={**kept, key: rollout})

    def with_command(self, command: str) -> "TargetState":
        """Return the state that remembers a command."""
        return msgspec.structs.replace(self, commands=(*self.commands[-(_MOST_REMEMBERED - 1) :], command))


def load(document: Document) -> TargetState:
    """Return the state of a document."""
    return msgspec.convert(document, TargetState)


def dump(state: TargetState) -> Document:
    """Return the document of a state."""
    document: Document = msgspec.to_builtins(state)
    return document


@lru_cache(maxsize=256)
def plan_of(text: str) -> Plan:
    """Return the plan of a text that was checked when it was received."""
    return load_plan(text)
