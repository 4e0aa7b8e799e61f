"""Attacks by guessing: wrong tokens leave a trace at every door, are slowed down, and lock nobody else out."""

import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from penstock.access.denials import FREE_ATTEMPTS, LONGEST_WAIT, Authenticator, Denial, Denials, network_of, reporter
from penstock.errors import TooManyAttemptsError, UnauthorizedError
from penstock.telemetry import Telemetry
from penstock.tokens import Identity, Tokens, digest_of
from services.flag_control.http_api import control_app
from services.metric_ingestion.doors.otlp_http import OtlpEndpoint
from tests.support.console.app import ConsoleApp

TOKENS = Tokens(
    tokens=(
        Identity(sha256=digest_of("olga-token"), identity="olga", roles=("operator",)),
        Identity(sha256=digest_of("ci-token"), identity="ci", roles=("publisher",)),
    )
)


class Guesses:
    """One door's authenticator with a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.reports: list[Denial] = []
        self.authenticator = Authenticator(TOKENS, Denials("door", self.reports.append, lambda: self.now))

    def attempt(self, token: str, address: str = "198.51.100.7") -> str:
        try:
            return self.authenticator.identify(f"Bearer {token}", address).identity
        except TooManyAttemptsError as error:
            return f"wait {error.retry_after}"
        except UnauthorizedError:
            return "wrong"


def test_guesses_are_slowed_down_more_and_more_up_to_a_minute() -> None:
    guesses = Guesses()
    assert {guesses.attempt(f"guess-{n}") for n in range(FREE_ATTEMPTS + 1)} == {"wrong"}
    looked_at = 0
    for second in range(600):
        guesses.now = float(second)
        looked_at += sum(guesses.attempt(f"{second}-{n}") == "wrong" for n in range(100))
    assert looked_at < 25  # of 60,000
    assert guesses.attempt("another").startswith("wait ")
    guesses.now += LONGEST_WAIT
    assert guesses.attempt("olga-token") == "olga"


def test_a_right_guess_during_the_wait_tells_nothing() -> None:
    guesses = Guesses()
    for n in range(FREE_ATTEMPTS + 1):
        guesses.attempt(f"guess-{n}")
    assert guesses.attempt("olga-token") == "wait 1"


def test_who_was_let_in_from_an_address_is_not_locked_out_by_an_attacker_behind_it() -> None:
    guesses = Guesses()
    guesses.attempt("olga-token")
    for n in range(100):
        guesses.attempt(f"guess-{n}")
    assert guesses.attempt("olga-token") == "olga"
    assert guesses.attempt("ci-token", "203.0.113.5") == "ci"


def test_one_token_tried_from_many_addresses_is_slowed_down_as_well() -> None:
    guesses = Guesses()
    found = [guesses.attempt("stolen-and-revoked", f"203.0.113.{n}") for n in range(FREE_ATTEMPTS + 5)]
    assert found[-1] == "wait 1"


def test_whoever_has_an_ipv6_network_is_one_client() -> None:
    guesses = Guesses()
    found = [guesses.attempt(f"g{n}", f"2001:db8:1:2::{n:x}") for n in range(FREE_ATTEMPTS + 5)]
    assert found[-1].startswith("wait ")
    assert network_of("::ffff:198.51.100.7") == "198.51.100.7"


def test_reports_are_few_and_say_how_many_attempts_they_stand_for() -> None:
    guesses = Guesses()
    for second in range(30):
        guesses.now = float(second)
        for n in range(10):
            guesses.attempt(f"{second}-{n}")
    assert len(guesses.reports) == 3
    assert sum(report.attempts for report in guesses.reports) > 150
    assert all("-" not in report.hint for report in guesses.reports)  # A digest's digits, never the token.


def test_a_flood_of_addresses_does_not_take_the_memory() -> None:
    guesses = Guesses()
    for n in range(30_000):
        guesses.attempt(f"g{n}", f"10.{n >> 16}.{(n >> 8) & 255}.{n & 255}")
    denials = guesses.authenticator._denials
    assert len(denials._counts) <= 10_000


class Counted(Telemetry):
    """Keeps what is counted."""

    def __init__(self) -> None:
        self.counted: list[tuple[str, int, dict[str, str]]] = []

    def count(self, what: str, more: int, attributes: Any) -> None:
        self.counted.append((what, more, dict(attributes)))


def console() -> tuple[Any, str, str]:
    return ConsoleApp(tokens=TOKENS).app, "POST", "/events"


def flags() -> tuple[Any, str, str]:
    return control_app(None, TOKENS, []), "POST", "/flags/production/shop/banner/kill"  # type: ignore[arg-type]


def otlp() -> tuple[Any, str, str]:
    async def publish(frames: object) -> None:
        raise AssertionError

    return OtlpEndpoint(TOKENS, lambda: None, publish, lambda: 0, Starlette()), "POST", "/v1/metrics"


@pytest.fixture
def records() -> Iterator[list[str]]:
    kept: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(record.getMessage())

    logger, handler = logging.getLogger("penstock.access.denials"), Keep()
    logger.addHandler(handler)
    yield kept
    logger.removeHandler(handler)


@pytest.mark.parametrize("door", [console, flags, otlp])
async def test_every_door_answers_429_with_retry_after_and_logs_access_denied(door: Any, records: list[str]) -> None:
    app, method, path = door()
    transport = httpx.ASGITransport(app, client=("198.51.100.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        answers = [
            await http.request(method, path, headers={"authorization": f"Bearer canary-{n}"}) for n in range(300)
        ]
    assert [answer.status_code for answer in answers[:FREE_ATTEMPTS]] == [401] * FREE_ATTEMPTS
    assert [answer.status_code for answer in answers].count(429) > 280
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert len(records) == 1
    assert records[0].startswith("access.denied door=")
    assert "address=198.51.100.7" in records[0]
    assert "canary-" not in "".join(records)


@pytest.mark.parametrize("door", [console, flags, otlp])
async def test_a_known_identity_without_the_role_is_reported_by_name(door: Any, records: list[str]) -> None:
    app, method, path = door()
    token = "olga-token" if door is not flags else "ci-token"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        answer = await http.request(method, path, headers={"authorization": f"Bearer {token}"})
    assert answer.status_code in {401, 403}
    assert "reason=forbidden" in records[0]
    assert token.partition("-")[0] in records[0]


async def test_sign_in_is_slowed_down_too() -> None:
    app, _, _ = console()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        answers = [await http.post("/login", data={"token": f"guess-{n}"}) for n in range(30)]
    assert answers[-1].status_code == 429
    assert "retry-after" in answers[-1].headers


def test_denied_attempts_are_counted_for_alerts() -> None:
    telemetry = Counted()
    denials = Denials("console", reporter(telemetry))
    denials.wrong("198.51.100.7", digest_of("x"))
    assert telemetry.counted == [("access.denied", 1, {"door": "console", "reason": "unknown_token"})]
