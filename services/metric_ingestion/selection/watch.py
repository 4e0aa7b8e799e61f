"""Which targets are watched, by which plan, and which version is the canary: folded from `plans` and `rollouts`."""

from dataclasses import dataclass, replace

from penstock.errors import PlanError
from penstock.events import (
    Event,
    PlanRegistered,
    RollbackCompleted,
    RolloutAnnounced,
    RolloutCompleted,
    RolloutSuperseded,
)
from penstock.plan import Plan, load_plan


@dataclass(frozen=True)
class Watched:
    """A target's plan in force.

    Attributes:
        target, plan, plan_hash: what is watched, and how.
        version: the release under way or rolled back; None when the last one has reached everyone.
        cause: the event that put the plan in force.
    """

    target: str
    plan: Plan
    plan_hash: str
    version: str | None
    cause: Event


@dataclass(frozen=True)
class _Registered:
    plan: Plan
    plan_hash: str
    cause: Event


@dataclass(frozen=True)
class _Rollout:
    id: str
    registered: _Registered
    version: str
    active: bool = True
    completed: bool = False


class Watch:
    """The registry: a rollout under way keeps the plan that it was announced with, else the newest registered holds.

    The canary's version stays the canary after a rollback: the rollback is verified when its requests stop.
    """

    def __init__(self) -> None:
        self._registered: dict[str, _Registered] = {}
        self._rollouts: dict[str, _Rollout] = {}
        self._unloadable: dict[str, str] = {}

    @property
    def unloadable(self) -> dict[str, str]:
        """Plans that this version cannot load: target and name -> why."""
        return dict(self._unloadable)

    def fold(self, event: Event) -> bool:
        """Fold one event; return whether what is watched may have changed."""
        match event:
            case PlanRegistered():
                return self._register(event)
            case RolloutAnnounced():
                return self._announce(event)
            case RolloutCompleted() | RollbackCompleted() | RolloutSuperseded():
                return self._end(event, completed=isinstance(event, RolloutCompleted))
            case _:
                return False

    def of(self, target: str) -> Watched | None:
        """Return what is watched of a target, None if nothing is."""
        rollout = self._rollouts.get(target)
        registered = self._registered.get(target)
        if rollout is not None and (rollout.active or registered is None):
            registered = rollout.registered
        if registered is None:
            return None
        version = rollout.version if rollout is not None and not rollout.completed else None
        return Watched(target, registered.plan, registered.plan_hash, version, registered.cause)

    def all(self) -> tuple[Watched, ...]:
        """Return every watched target."""
        targets = sorted({*self._registered, *self._rollouts})
        return tuple(watched for target in targets if (watched := self.of(target)) is not None)

    def _register(self, event: PlanRegistered) -> bool:
        held = self._registered.get(event.target)
        if held is not None and held.cause.at > event.at:
            return False
        loaded = self._load(event.target, event.name, event.plan_text, event.plan_hash, event)
        if loaded is None or (held is not None and held.plan_hash == loaded.plan_hash):
            return False
        self._registered[event.target] = loaded
        return True

    def _announce(self, event: RolloutAnnounced) -> bool:
        loaded = self._load(event.target, event.plan_name, event.plan_text, event.plan_hash, event)
        if loaded is None:
            return False
        self._rollouts[event.target] = _Rollout(event.rollout, loaded, event.release.version)
        return True

    def _end(self, event: RolloutCompleted | RollbackCompleted | RolloutSuperseded, completed: bool) -> bool:
        rollout = self._rollouts.get(event.target)
        if rollout is None or rollout.id != event.rollout:
            return False
        self._rollouts[event.target] = replace(rollout, active=False, completed=completed)
        return True

    def _load(self, target: str, name: str, text: str, plan_hash: str, cause: Event) -> _Registered | None:
        try:
            plan = load_plan(text, name)
        except PlanError as error:
            self._unloadable[f"{target} {name}"] = str(error)
            return None
        self._unloadable.pop(f"{target} {name}", None)
        return _Registered(plan, plan_hash, cause)
