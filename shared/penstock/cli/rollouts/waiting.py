"""Following a rollout until it is where somebody wants it, or cannot get there any more."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.cli.exits import Exits, of_phase
from penstock.client import Client
from penstock.errors import NotFoundError, UnavailableError
from penstock.rollout import ENDED, Phase

View = Mapping[str, Any]

GOALS: dict[str, Phase] = {
    "promoted": Phase.COMPLETED,
    "rolled-back": Phase.ROLLED_BACK,
    "held": Phase.HELD,
    "awaiting-approval": Phase.AWAITING_APPROVAL,
    "soaking": Phase.SOAKING,
    "superseded": Phase.SUPERSEDED,
}
"""What `--for` takes besides `stage:NAME`."""

_TELLING = frozenset({"breach", "passed"})
"""Verdicts that end something. Between inconclusive and no data a gate may change with every window."""

PATIENCE = 60.0
"""Seconds that a server may stay away once it has answered."""


GRACE = 5.0
"""Seconds between the acceptance of a deploy and its rollout's first record, at most."""


def _utc_now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())


@dataclass(frozen=True)
class Clock:
    """The time that waiting goes by, and the wall clock that its lines carry."""

    now: Callable[[], float] = field(default=time.monotonic)
    sleep: Callable[[float], None] = field(default=time.sleep)
    wall: Callable[[], str] = field(default=_utc_now)


def reached(view: View, goal: str) -> bool:
    """Return whether the rollout is where `goal` says; `stage:NAME` is reached when that stage has begun."""
    if goal.startswith("stage:"):
        return view.get("stage") == goal.removeprefix("stage:") and view["phase"] not in {
            Phase.ROLLING_BACK,
            Phase.ROLLED_BACK,
        }
    return bool(view["phase"] == GOALS[goal])


def outcome(view: View, goal: str, patient: bool, why: str | None) -> Exits | None:
    """Return how the wait ends with this view, None while it goes on.

    Args:
        goal: a key of GOALS, or `stage:NAME`.
        patient: do not end at a hold or a missing approval, which people or data may still solve.
        why: ground of the rollback, where there was one.
    """
    if reached(view, goal):
        return Exits.REACHED
    if view["phase"] in ENDED:
        # Promoted is success only for who waited for it; no code is meant for the other case.
        code = of_phase(view["phase"], why)
        return Exits.INTERNAL if code in {None, Exits.REACHED} else code
    if view["phase"] in {Phase.HELD, Phase.AWAITING_APPROVAL} and not patient:
        return of_phase(view["phase"], None)
    return None


def follow(client: Client, rollout: str, clock: Clock, every: float, complain: Callable[[str], None]) -> Iterator[View]:
    """Yield the rollout's view every few seconds, changed or not, through a server's absence of PATIENCE seconds.

    A rollout that was announced a moment ago may not be known yet: it is asked for again for GRACE seconds.

    Raises:
        PenstockError: the server does not answer at first or too long, or does not know the rollout.
    """
    answered: float | None = None
    began = clock.now()
    while True:
        try:
            view = client.rollout(rollout)
        except NotFoundError:
            if clock.now() - began > GRACE:
                raise
        except UnavailableError as error:
            if answered is None or clock.now() - answered > PATIENCE:
                raise
            complain(f"no answer, trying again: {error}")
        else:
            answered = clock.now()
            yield view
        clock.sleep(every)


def unknown_stage(view: View, goal: str) -> str | None:
    """Return why `stage:NAME` can never be reached: the rollout has no stage of that name. None where it can."""
    names = [str(stage["name"]) for stage in view.get("stages") or []]
    wanted = goal.removeprefix("stage:")
    if not goal.startswith("stage:") or not names or wanted in names:
        return None
    return f"the rollout has no stage {wanted!r}; its stages are {', '.join(names)}"


def why_rolled_back(view: View) -> str | None:
    """Return the ground on which the rollback started: the view's own ground is that of its completion."""
    rollback = view.get("rollback") or {}
    return rollback.get("why")


def change_of(view: View) -> tuple[Any, ...]:
    """Return what makes a view worth a new line: phase, stage, exposure or verdict; a further window alone does not."""
    following = view.get("next") or {}
    waits = (following.get("what"), following.get("lacks")) if view["phase"] == Phase.ROLLING_BACK else None
    word = view.get("word") if view.get("word") in _TELLING else None
    return view["sequence"], view["phase"], view.get("stage"), word, view.get("exposure_actual"), waits
