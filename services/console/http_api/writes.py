"""The writing half of the HTTP API: events of CI, verbs on rollouts, plans, quarantines; each takes a token."""

from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock import ids
from penstock.errors import InvalidError, PlanError, Problem
from penstock.events import CommandRefused, DeployAnnounced
from penstock.events.cloudevents import parse_http
from penstock.plan import Plan, load_plan
from penstock.targets import parse_target
from penstock.tokens import Identity, Role
from services.console.commands import VERBS, Commands, LiftBody, Publish, VerbBody
from services.console.http_api.reads import book_of
from services.console.http_api.responses import Json, body_of, invalid, parsed
from services.console.http_api.security import Door
from services.console.intake.cdevents import deploy_of, plan_text_of, read_plan
from services.console.read_models.entries import Entry
from services.console.read_models.json_views import view_of
from services.console.read_models.projection import Projection
from services.runtime.http.bodies import read_body
from services.runtime.http.worker import Worker

MOST_EVENT_BYTES = 4 * 1024 * 1024
MOST_BATCH = 100
MOST_BODY_BYTES = 64 * 1024
MOST_PLAN_BYTES = 512 * 1024


class Writes:
    """The routes that write."""

    def __init__(self, projection: Projection, commands: Commands, publish: Publish, door: Door) -> None:
        self._projection = projection
        self._commands = commands
        self._publish = publish
        self._door = door
        self._worker = Worker("parse")

    def routes(self) -> list[Route]:
        """Return them."""
        return [
            Route("/events", self._events, methods=["POST"]),
            Route("/api/rollouts/{rollout}/{verb}", self._verb, methods=["POST"]),
            Route("/api/quarantine/lift", self._lift, methods=["POST"]),
            Route("/api/plans", self._register, methods=["POST"]),
            Route("/api/plans/lint", self._lint, methods=["POST"]),
        ]

    async def _events(self, request: Request) -> Response:
        who = self._door.identify(request, Role.PUBLISHER)
        raw = await read_body(request.receive, MOST_EVENT_BYTES)
        received = await parsed(self._worker, parse_http, raw, request.headers.items())
        if len(received) > MOST_BATCH:
            raise InvalidError("batch", [Problem("", f"has {len(received)} events; send at most {MOST_BATCH} at once")])
        accepted: list[dict[str, Any]] = []
        problems: list[Problem] = []
        for place, event in enumerate(received):
            try:
                if isinstance(event, InvalidError):
                    raise event
                if (text := plan_text_of(event.data)) is not None:
                    await self._worker.run(read_plan, text)
                deploy = deploy_of(event, self._projection, who)
            except InvalidError as error:
                # parse_http has put the place into the problems that it found itself.
                prefix = f"{place}." if len(received) > 1 and not isinstance(event, InvalidError) else ""
                problems += [Problem(f"{prefix}{p.where}", p.what, p.line) for p in error.problems]
                continue
            await self._publish("deploys", deploy)
            accepted.append(accepted_deploy(deploy))
        if problems:
            return invalid(tuple(problems), accepted)
        return Json({"accepted": accepted}, 202)

    async def _verb(self, request: Request) -> Response:
        verb = VERBS.get(str(request.path_params["verb"]))
        if verb is None:
            return Json({"error": "no such verb", "next": f"There are: {', '.join(VERBS)}."}, 404)
        who = self._door.identify(request, *verb.roles)
        book = book_of(self._projection, request)
        assert book.state is not None
        body = await body_of(VerbBody, request, MOST_BODY_BYTES, self._worker)
        name = str(request.path_params["verb"])
        who = self._door.permitted(request, who, *verb.roles, target=book.state.target)
        asked = self._commands.on_rollout(name, book.id, book.state.target, body, who, key_of(request))
        caused = await self._commands.ask(asked)
        return self._answer(caused, asked.id, f"/api/rollouts/{book.id}", book.id)

    async def _lift(self, request: Request) -> Response:
        who = self._door.identify(request)
        body = await body_of(LiftBody, request, MOST_BODY_BYTES, self._worker)
        try:
            parse_target(body.target)
        except ValueError as error:
            raise InvalidError("body", [Problem("target", str(error))]) from None
        who = self._door.permitted(request, who, target=body.target)
        asked = self._commands.lift(body, who, key_of(request))
        return self._answer(await self._commands.ask(asked), asked.id, f"/api/events?target={body.target}")

    async def _register(self, request: Request) -> Response:
        who = self._door.identify(request, Role.PLANNER)
        raw = await read_body(request.receive, MOST_PLAN_BYTES)
        text, plan = await self._worker.run(plan_in, raw)
        who = self._door.permitted(request, who, Role.PLANNER, target=plan.target.key)
        reason = request.query_params.get("reason") or request.headers.get("penstock-reason") or "registered by API"
        asked = self._plan_request(text, plan, reason, who, key_of(request))
        return self._answer(await self._commands.ask(asked), asked.id, "/api/plans")

    def _plan_request(self, text: str, plan: Plan, reason: str, who: Identity, key: str | None) -> Any:
        try:
            return self._commands.plan(text, plan.target.key, reason, who, key)
        except ValidationError:
            raise InvalidError("query", [Problem("reason", "is longer than 2000 characters")]) from None

    async def _lint(self, request: Request) -> Response:
        try:
            await self._worker.run(plan_in, await read_body(request.receive, MOST_PLAN_BYTES))
        except PlanError as error:
            return Json({"problems": [{"where": p.where, "what": p.what, "line": p.line} for p in error.problems]})
        return Json({"problems": []})

    def _answer(self, caused: Entry | None, command: str, see: str, rollout: str | None = None) -> Json:
        if caused is None:
            return Json({"accepted": command, "see": see}, 202)
        document = caused.document()["event"]
        book = self._projection.book(rollout) if rollout is not None else None
        view = (
            view_of(book, self._projection.target(book.state.target))
            if book is not None and book.state is not None
            else None
        )
        if isinstance(caused.event, CommandRefused):
            return Json({"error": "refused", "refusal": document, "rollout": view}, 409)
        return Json({"event": document, "rollout": view})


def accepted_deploy(deploy: DeployAnnounced) -> dict[str, Any]:
    """Return what is answered for a deploy: its id, its target, and the rollout that it starts."""
    return {
        "id": deploy.id,
        "target": deploy.target,
        "rollout": ids.rollout_id(deploy.source, deploy.id, deploy.target),
    }


def key_of(request: Request) -> str | None:
    """Return the idempotency key of the request.

    Raises:
        InvalidError: too long.
    """
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= 200:
        raise InvalidError("headers", [Problem("Idempotency-Key", "must have 1 to 200 characters")])
    return key


def plan_in(body: bytes) -> tuple[str, Plan]:
    """Return the exact text of a plan, and the plan.

    Raises:
        PlanError: it does not load; every problem is listed.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise PlanError("plan", [Problem("", "is not UTF-8")]) from None
    return text, load_plan(text, new=True)
