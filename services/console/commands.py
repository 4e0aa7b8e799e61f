"""Requests of people: published on `commands`, answered with the event that they caused."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from penstock.events import (
    ApprovalGranted,
    Event,
    Expectation,
    HoldRequested,
    LiftRequested,
    PlanSubmitted,
    PromotionRequested,
    Request,
    ResumeRequested,
    RollbackRequested,
)
from penstock.ids import derive
from penstock.tokens import Identity, Role
from services.console.read_models.entries import Entry
from services.console.read_models.projection import Projection
from services.runtime.process.service import Clock

SOURCE = "/penstock/console"
PATIENCE_S = 5.0
_SAME_RECORD_S = 0.05

Publish = Callable[[str, Event], Awaitable[None]]
"""Publishes an event to a topic; returns once it is acknowledged."""

R = TypeVar("R", bound=Request)


@dataclass(frozen=True)
class Verb:
    """A request on a rollout, and the roles that may make it; where empty, rollout control checks the plan's."""

    kind: type[Request]
    roles: tuple[str, ...]


VERBS: dict[str, Verb] = {
    "promote": Verb(PromotionRequested, (Role.OPERATOR,)),
    "hold": Verb(HoldRequested, (Role.OPERATOR,)),
    "resume": Verb(ResumeRequested, (Role.OPERATOR,)),
    "rollback": Verb(RollbackRequested, (Role.OPERATOR,)),
    "approve": Verb(ApprovalGranted, ()),
}


class Body(BaseModel):
    """A JSON body; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str = Field(min_length=1, max_length=2000)


class Expected(BaseModel):
    """The state that the person saw."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str | None = None
    sequence: int | None = Field(default=None, ge=0)


class VerbBody(Body):
    """Body of a verb on a rollout; `override` applies to `promote` only."""

    override: bool = False
    expected: Expected = Expected()


class LiftBody(Body):
    """Body of lifting a quarantine."""

    target: str
    version: str = Field(min_length=1, max_length=200)


class Commands:
    """Publishes requests and waits for the events that they cause.

    Args:
        publish: to Kafka.
        unique: returns a text that no other call returns, for requests without an idempotency key.
    """

    def __init__(self, projection: Projection, publish: Publish, clock: Clock, unique: Callable[[], str]) -> None:
        self._projection = projection
        self._publish = publish
        self._clock = clock
        self._unique = unique
        self._waiting: dict[str, asyncio.Event] = {}
        projection.listeners.append(self._on_entry)

    def on_rollout(
        self, verb: str, rollout: str, target: str, body: VerbBody, who: Identity, key: str | None
    ) -> Request:
        """Return the request of a verb on a rollout."""
        kind = VERBS[verb].kind
        extra: dict[str, Any] = {"override": body.override} if kind is PromotionRequested else {}
        expected = Expectation(stage=body.expected.stage, sequence=body.expected.sequence)
        return self._request(
            kind, f"{verb} {rollout}", target, body.reason, who, key, rollout=rollout, expected=expected, **extra
        )

    def lift(self, body: LiftBody, who: Identity, key: str | None) -> LiftRequested:
        """Return the request to lift a quarantine."""
        about = f"lift {body.target} {body.version}"
        return self._request(LiftRequested, about, body.target, body.reason, who, key, version=body.version)

    def plan(self, text: str, target: str, reason: str, who: Identity, key: str | None) -> PlanSubmitted:
        """Return the request to register a plan."""
        return self._request(PlanSubmitted, f"plan {target}", target, reason, who, key, plan_text=text)

    async def ask(self, request: Request, patience: float = PATIENCE_S) -> Entry | None:
        """Publish the request; return the first event on `rollouts` that it caused, None if that takes too long.

        Raises:
            TransientError: Kafka did not accept it; the same request with the same key may be sent again.
        """
        known = self._projection.caused_by(request.id)
        if known is not None:
            return known
        arrived = self._waiting.setdefault(request.id, asyncio.Event())
        try:
            await self._publish("commands", request)
            await asyncio.wait_for(arrived.wait(), patience)
            # The record may hold several events; the view that is answered with should show them all.
            await asyncio.sleep(_SAME_RECORD_S)
        except TimeoutError:
            return None
        finally:
            self._waiting.pop(request.id, None)
        return self._projection.caused_by(request.id)

    def _on_entry(self, entry: Entry) -> None:
        cause = entry.event.cause
        if cause is not None and cause in self._waiting and entry.topic == "rollouts":
            self._waiting[cause].set()

    def _request(
        self, kind: type[R], about: str, target: str, reason: str, who: Identity, key: str | None, **fields: Any
    ) -> R:
        return kind(
            id=derive("command", who.identity, about, key if key is not None else self._unique()),
            source=SOURCE,
            target=target,
            time=self._clock(),
            actor=who.identity,
            reason=reason,
            roles=who.roles,
            **fields,
        )
