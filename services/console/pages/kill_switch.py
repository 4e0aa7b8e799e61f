"""The kill switch: a reason, a page that shows the consequences, then the person's own token. No single click kills."""

import secrets
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.errors import (
    InvalidError,
    NotFoundError,
    PenstockError,
    Problem,
    TooManyAttemptsError,
    UnauthorizedError,
    UnavailableError,
)
from penstock.targets import parse_target
from penstock.tokens import Identity, Role
from services.console.flag_control_client import FlagControl
from services.console.http_api.security import Door, address_of
from services.console.pages.forms import form_of
from services.console.pages.site import Page, Site
from services.runtime.http.errors import ForbiddenError, status_of
from services.runtime.process.service import Clock

_MOST_REASON = 2000


class KillSwitch:
    """Two forms of a flag: kill it, and lift a kill by its id."""

    def __init__(
        self,
        site: Site,
        door: Door,
        clock: Clock,
        flag_control: FlagControl,
        common: Callable[[Request], dict[str, Any]],
    ) -> None:
        self._site = site
        self._door = door
        self._clock = clock
        self._flag_control = flag_control
        self._common = common

    def routes(self) -> list[Route]:
        """Return them."""
        place = "/flags/{environment}/{service}/{flag}/"
        return [Route(place + verb, self._asked(verb), methods=["POST"]) for verb in ("kill", "undo")]

    def _asked(self, verb: str) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            try:
                form = await form_of(request)
                who = self._door.checked_form(request, form, self._clock().timestamp())
                who = self._door.permitted(request, who, Role.OPERATOR, target=target_of(request))
                return await self._step(request, verb, target_of(request), form, who)
            except PenstockError as error:
                page = Page("problem.html", "Not done", {}, {"trouble": str(error)})
                return self._site.page(page, self._common(request), status_of(error))

        return answer

    async def _step(self, request: Request, verb: str, target: str, form: dict[str, str], who: Identity) -> Response:
        reason = form.get("reason", "").strip()
        if not 1 <= len(reason) <= _MOST_REASON:
            raise InvalidError("form", [Problem("reason", f"give a reason of at most {_MOST_REASON} characters")])
        asked = {"target": target, "verb": verb, "reason": reason, "kill": form.get("kill", ""), "wrong": ""}
        if "key" not in form:
            return self._confirm(request, {**asked, "key": secrets.token_hex(16)}, 200)
        asked["key"] = form["key"][:64]
        try:
            # The session identifies who clicks; flag control gets the token, which only this person has.
            given = self._door.holder(form.get("token", ""), address_of(request))
            if given.identity != who.identity:
                raise ForbiddenError(f"this token does not belong to {who.identity}, who is signed in")
        except (UnauthorizedError, TooManyAttemptsError, ForbiddenError) as error:
            return self._confirm(request, {**asked, "wrong": str(error)}, 403)
        return await self._forward(request, asked, form["token"])

    def _confirm(self, request: Request, asked: dict[str, str], status: int) -> Response:
        return self._site.page(Page("kill_confirm.html", "Confirm", {}, asked), self._common(request), status)

    async def _forward(self, request: Request, asked: dict[str, str], token: str) -> Response:
        fields = {"reason": asked["reason"], **({"kill": asked["kill"]} if asked["verb"] == "undo" else {})}
        reply: dict[str, Any] = {"status": 503, "answer": {}}
        trouble = ""
        try:
            reply = await self._flag_control.act(asked["target"], asked["verb"], token, asked["key"], fields)
            if reply["status"] >= 400:
                trouble = str(reply["answer"].get("error", f"flag control answered {reply['status']}"))
        except UnavailableError as error:
            trouble = str(error)
        context = {**asked, "answer": reply["answer"], "trouble": trouble, "server": self._flag_control.server}
        return self._site.page(
            Page("kill_done.html", "Not done" if trouble else "Done", {}, context),
            self._common(request),
            reply["status"] if trouble else 200,
        )


def target_of(request: Request) -> str:
    """Return the target that the path names.

    Raises:
        NotFoundError: it is none.
    """
    try:
        return str(parse_target("/".join(request.path_params[p] for p in ("environment", "service", "flag"))))
    except ValueError as error:
        raise NotFoundError(str(error)) from None
