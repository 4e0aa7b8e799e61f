"""Attacks by tokens: what a file holds is no token, a scope is a scope, and an end is an end, at once."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import yaml
from typer.testing import CliRunner

from penstock.access.verbs import Verb, grants_of, may
from penstock.cli.access import can, tokens
from penstock.errors import UnauthorizedError
from penstock.events import CommandRefused, Event
from penstock.tokens import FollowedTokens, Identity, Tokens, digest_of, load_tokens, read_tokens
from tests.support.builders import an, deployed
from tests.support.console.app import ConsoleApp
from tests.support.console.story import awaiting, project
from tests.support.plans import SHORT

RUN = CliRunner()


def create(path: Path, *more: str, identity: str = "ci", role: str = "publisher") -> str:
    done = RUN.invoke(tokens.app, ["create", identity, "--role", role, "--file", str(path), *more])
    assert done.exit_code == 0, done.output
    return done.stdout.strip().splitlines()[-1]


def known(path: Path, token: str) -> bool:
    try:
        read_tokens(path).identify(f"Bearer {token}")
    except UnauthorizedError:
        return False
    return True


def test_a_token_is_shown_once_and_the_file_holds_neither_it_nor_anything_to_log_in_with(tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"
    token = create(path)
    assert known(path, token)
    assert token not in path.read_text()
    assert len(token) >= 40
    assert path.stat().st_mode & 0o077 == 0
    assert not known(path, digest_of(token))
    listed = RUN.invoke(tokens.app, ["list", "--file", str(path)])
    assert token not in listed.output
    assert "publisher" in listed.output


def test_a_rotation_locks_nobody_out_and_a_revocation_everybody(tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"
    former = create(path, "--target", "production/checkout/*")
    done = RUN.invoke(tokens.app, ["rotate", "ci", "--keep", "1h", "--file", str(path)])
    fresh = done.stdout.strip().splitlines()[0]
    assert known(path, former)
    assert known(path, fresh)
    ended, kept = read_tokens(path).tokens
    assert (kept.targets, kept.roles, kept.expires) == (("production/checkout/*",), ("publisher",), None)
    assert ended.expires is not None
    assert not ended.live(datetime.now(UTC) + timedelta(hours=2))  # noqa: TID251
    for name in ("ci", "ci-old"):
        assert RUN.invoke(tokens.app, ["revoke", name, "--file", str(path)]).exit_code == 0
    assert not known(path, former)
    assert not known(path, fresh)


def test_rotating_does_not_prolong_a_token_that_ends_sooner(tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"
    create(path, "--expires", "10m")
    RUN.invoke(tokens.app, ["rotate", "ci", "--keep", "7d", "--file", str(path)])
    ended = read_tokens(path).tokens[0]
    assert ended.expires is not None
    assert ended.expires < datetime.now(UTC) + timedelta(minutes=11)  # noqa: TID251


def test_an_expired_token_is_nobody() -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC)
    held = Tokens(tokens=(Identity(sha256=digest_of("t"), identity="ann", roles=("admin",), expires=past),))
    with pytest.raises(UnauthorizedError, match="expired"):
        held.identify("Bearer t")


def test_the_file_is_followed_and_a_broken_one_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.tokens._FOLLOW_SECONDS", 0.0)
    path = tmp_path / "tokens.yaml"
    token = create(path)
    followed = load_tokens(path)
    assert isinstance(followed, FollowedTokens)
    later = create(path, identity="ann", role="operator")
    assert followed.identify(f"Bearer {later}").identity == "ann"
    good = path.read_text()
    path.write_text("tokens: [{oops")
    assert followed.identify(f"Bearer {token}").identity == "ci"
    path.write_text(good)
    RUN.invoke(tokens.app, ["revoke", "ci", "--file", str(path)])
    with pytest.raises(UnauthorizedError):
        followed.identify(f"Bearer {token}")
    os.utime(path)


SCOPED = Identity(
    sha256=digest_of("scoped"), identity="scoped", roles=("admin",), targets=("production/checkout/*", "staging/*")
)


@pytest.mark.parametrize("verb", list(Verb))
def test_a_role_holds_for_the_targets_of_its_token_only_admin_included(verb: Verb) -> None:
    assert may(SCOPED, verb, "production/checkout/form")
    assert may(SCOPED, verb, "staging/shop/banner")
    for target in ("production/payments/form", "production/checkout2/form", "xproduction/checkout/form"):
        assert not may(SCOPED, verb, target)
    assert grants_of(SCOPED, "production/payments/form") == ()


@pytest.mark.parametrize("roles", [("publisher", "planner", "operator", "release-manager"), ("admin",)])
async def test_every_write_at_the_console_keeps_to_the_targets_of_the_token(roles: tuple[str, ...]) -> None:
    other = Identity(sha256=digest_of("other"), identity="other", roles=roles, targets=("production/other/*",))
    console = ConsoleApp(project(), tokens=Tokens(tokens=(other,)))
    teller = awaiting()
    headers = {"authorization": "Bearer other"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(console.app), base_url="http://localhost") as http:
        answers = [
            await http.post("/events", json=deployed(1, planText=SHORT), headers=headers),
            await http.post("/api/plans", content=SHORT, headers=headers),
        ]
        for verb in ("promote", "hold", "resume", "rollback"):
            path = f"/api/rollouts/{teller.rollout}/{verb}"
            answers.append(await http.post(path, json={"reason": "x"}, headers=headers))
        assert [answer.status_code for answer in answers] == [422, 403, 403, 403, 403, 403]
        assert console.published == []

        def refuse(topic: str, event: Event) -> None:
            if topic == "commands":
                console.hear("rollouts", an(CommandRefused, id=f"re-{event.id}", target=event.target, cause=event.id))

        console.on_publish = refuse
        await http.post(f"/api/rollouts/{teller.rollout}/approve", json={"reason": "x"}, headers=headers)
        lift = {"target": teller.target, "version": "1", "reason": "x"}
        await http.post("/api/quarantine/lift", json=lift, headers=headers)
    # Plans say who approves and lifts, so rollout control decides: it gets no role for another target.
    assert [getattr(event, "roles", None) for _, event in console.published] == [(), ()]


@pytest.mark.parametrize(
    ("who", "verb", "target", "code"),
    [
        ("ci", "announce", "production/checkout/form", 0),
        ("CI ", "announce", "production/checkout/form", 0),
        ("ci", "announce", "production/payments/form", 4),
        ("ci", "plan", "production/checkout/form", 4),
        ("nobody", "read", "production/checkout/form", 4),
        ("ci", "announce", "nonsense", 2),
    ],
)
def test_access_can_answers_as_the_doors_do(tmp_path: Path, who: str, verb: str, target: str, code: int) -> None:
    path = tmp_path / "tokens.yaml"
    create(path, "--target", "production/checkout/*")
    done = RUN.invoke(can.app, ["can", who, verb, target, "--file", str(path)])
    assert done.exit_code == code, done.output


def test_a_file_written_by_the_command_loads_with_every_field(tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"
    create(path, "--expires", "90d", "--target", "a/*", "--target", "b/c/*", "--id", "x-1")
    (row,) = yaml.safe_load(path.read_text())["tokens"]
    assert set(row) == {"sha256", "identity", "roles", "targets", "id", "created", "expires"}
    taken = RUN.invoke(tokens.app, ["create", "ann", "--role", "x", "--id", "x-1", "--file", str(path)])
    assert taken.exit_code != 0
