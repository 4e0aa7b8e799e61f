"""Attacks by the browser: copied cookies, tokens that ended, names that were bound again, pages read without a role."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from penstock.settings import Settings
from penstock.tokens import Identity, Tokens, digest_of
from services.console.http_api.closed import names_of, reads_need_a_role
from services.console.http_api.security import COOKIE
from services.console.http_api.sessions import EndedSessions
from tests.support.console.app import ConsoleApp
from tests.support.console.story import NOW


@asynccontextmanager
async def browser(console: ConsoleApp, base: str = "http://localhost") -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(console.app), base_url=base) as http:
        yield http


async def signed_in(http: httpx.AsyncClient, token: str = "olga-token") -> str:
    answer = await http.post("/login", data={"token": token})
    assert answer.status_code == 303, answer.text
    return answer.cookies[COOKIE]


async def name_shown(http: httpx.AsyncClient, cookie: str) -> bool:
    return "Sign out" in (await http.get("/", headers={"cookie": f"{COOKIE}={cookie}"})).text


async def test_a_copied_cookie_is_worth_nothing_after_the_owner_signed_out() -> None:
    console = ConsoleApp()
    async with browser(console) as http:
        cookie = await signed_in(http)
        assert await name_shown(http, cookie)
        page = (await http.get("/")).text
        csrf = re.search(r'name="csrf" value="([^"]+)"', page)
        assert csrf is not None
        await http.post("/logout", data={"csrf": csrf[1]})
        assert not await name_shown(http, cookie)


async def test_sign_out_ends_one_session_and_leaves_the_others() -> None:
    console = ConsoleApp()
    async with browser(console) as one, browser(console) as other:
        ended, kept = await signed_in(one), await signed_in(other)
        csrf = re.search(r'name="csrf" value="([^"]+)"', (await one.get("/")).text)
        assert csrf is not None
        await one.post("/logout", data={"csrf": csrf[1]})
        assert not await name_shown(one, ended)
        assert await name_shown(other, kept)


def test_an_ended_session_stays_ended_after_a_restart_and_at_every_console_of_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "console" / "sessions.ended"
    here, there = EndedSessions(path), EndedSessions(path)
    assert "abc" not in there
    here.add("abc", 2_000, 1_000.0)
    assert "abc" in there
    assert "abc" in EndedSessions(path)
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("late", [timedelta(hours=13), timedelta(minutes=31)])
async def test_a_session_ends_after_half_a_day_and_with_its_token(late: timedelta) -> None:
    expires = NOW + (timedelta(days=9) if late > timedelta(hours=12) else timedelta(minutes=30))
    known = Identity(sha256=digest_of("t"), identity="olga", roles=("operator",), expires=expires.replace(year=2099))
    console = ConsoleApp(tokens=Tokens(tokens=(known,)))
    async with browser(console) as http:
        cookie = await signed_in(http, "t")
        assert await name_shown(http, cookie)
        ended = known.model_copy(update={"expires": expires})
        console.tokens.held = Tokens(tokens=(ended,))
        console.now = NOW + late
        assert not await name_shown(http, cookie)


async def test_a_session_ends_when_its_token_is_revoked() -> None:
    console = ConsoleApp()
    async with browser(console) as http:
        cookie = await signed_in(http)
        console.tokens.held = Tokens()
        assert not await name_shown(http, cookie)


@pytest.mark.parametrize(
    "host", ["attacker.example", "localhost.attacker.example", "127.0.0.1.nip.example", "", "console@attacker.example"]
)
async def test_another_name_that_leads_here_is_refused(host: str) -> None:
    async with browser(ConsoleApp()) as http:
        for method, path in (("GET", "/api/rollouts"), ("GET", "/"), ("POST", "/api/plans/lint")):
            assert (await http.request(method, path, headers={"host": host})).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8400", "127.0.0.1:8400", "[::1]:8400", "console", "10.1.2.3"])
async def test_the_own_names_and_addresses_are_answered(host: str) -> None:
    async with browser(ConsoleApp()) as http:
        assert (await http.get("/api/rollouts", headers={"host": host})).status_code == 200


def test_names_come_from_the_settings() -> None:
    settings = Settings(hosts="Penstock.example, p2.example", server="https://releases.example:8443")
    assert {"penstock.example", "p2.example", "releases.example", "localhost"} <= names_of(settings)


READS = [
    "/api/rollouts",
    "/api/rollouts/ro-1",
    "/api/rollouts/ro-1/events",
    "/api/events",
    "/api/stream",
    "/api/plans",
    "/api/dead-letters",
    "/",
    "/rollouts/ro-1",
    "/flags",
    "/plans",
    "/events",
    "/dead-letters",
    "/pages/changes",
    "/pages/overview/parts",
]


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_closed_console_shows_nothing_without_a_role(path: str, method: str) -> None:
    async with browser(ConsoleApp(closed=True)) as http:
        assert (await http.request(method, path)).status_code == 401
        assert (await http.request(method, path, headers={"authorization": "Bearer wrong"})).status_code == 401
        only_metrics = await http.request(method, path, headers={"authorization": "Bearer otel-token"})
        assert only_metrics.status_code == 401
        shown = await http.request(method, path, headers={"accept": "text/html"})
        assert (shown.status_code, shown.headers["location"].partition("?")[0]) == (303, "/login")


async def test_every_reading_route_is_closed() -> None:
    console = ConsoleApp(closed=True)
    free = {"/health/live", "/health/ready", "/openapi.json", "/login", "/static"}
    async with browser(console) as http:
        for route in console.app.routes:
            path = re.sub(r"{[^}]*}", "x", getattr(route, "path", ""))
            if "GET" in (getattr(route, "methods", None) or ()) and path not in free:
                assert (await http.get(path)).status_code == 401, path


async def test_a_closed_console_shows_all_to_a_token_and_to_a_session() -> None:
    async with browser(ConsoleApp(closed=True)) as http:
        headers = {"authorization": "Bearer olga-token"}
        assert (await http.get("/api/rollouts", headers=headers)).status_code == 200
        cookie = await signed_in(http)
        assert await name_shown(http, cookie)


@pytest.mark.parametrize(
    ("make", "closed"),
    [
        (lambda: Settings(), False),
        (lambda: Settings(host="::1"), False),
        (lambda: Settings(host="localhost"), False),
        (lambda: Settings(host="0.0.0.0"), True),
        (lambda: Settings(host="::"), True),
        (lambda: Settings(host="10.0.0.4"), True),
        (lambda: Settings(host="penstock.example"), True),
        (lambda: Settings(host="0.0.0.0", read="open"), False),
        (lambda: Settings(read="role"), True),
    ],
)
def test_reading_is_closed_by_default_beyond_loopback(make: Callable[[], Settings], closed: bool) -> None:
    assert reads_need_a_role(make()) is closed
