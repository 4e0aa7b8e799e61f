"""The subscribers file loads, or every problem of it is told at once, without any secret."""

import base64
from pathlib import Path

import pytest

from penstock.errors import InvalidError, NotFoundError
from penstock.events import RollbackStarted, StageEntered
from penstock.subscribers import load_subscribers
from tests.support.builders import an

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OTHER = "whsec_" + base64.b64encode(b"o" * 32).decode()
HOOK, TARGET = "https://ci.example/hook", "production/checkout/form"
STEPS = "steps: {hosts: ci.example, targets: 'production/checkout/*'}"


def write(folder: Path, text: str) -> Path:
    path = folder / "subscribers.yaml"
    path.write_text(text)
    return path


def test_without_a_file_there_is_nobody() -> None:
    assert load_subscribers(None).all() == ()


def test_an_empty_file_is_nobody(tmp_path: Path) -> None:
    assert load_subscribers(write(tmp_path, "")).all() == ()


def test_a_subscriber_wants_what_its_patterns_fit(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "subscribers:\n  - {name: chat, url: 'https://chat.example/x', types: ['rollback.*'],"
        f" targets: ['production/*'], secret: {SECRET}}}\n",
    )
    [chat] = load_subscribers(path).all()
    assert chat.wants(an(RollbackStarted))
    assert not chat.wants(an(StageEntered))
    assert not chat.wants(an(RollbackStarted, target="staging/checkout/form"))


def test_secrets_come_from_a_file_beside_it_newest_first(tmp_path: Path) -> None:
    (tmp_path / "chat.secret").write_text(f"{SECRET}\n{OTHER}\n")
    path = write(tmp_path, "subscribers: [{name: chat, url: 'https://chat.example', secret_file: chat.secret}]")
    assert [chat.secrets for chat in load_subscribers(path).all()] == [(SECRET, OTHER)]


def test_several_secrets_are_a_rotation(tmp_path: Path) -> None:
    path = write(tmp_path, f"subscribers: [{{name: ci, secret: [{SECRET}, {OTHER}], {STEPS}}}]")
    assert load_subscribers(path).secrets_of("ci", HOOK, TARGET) == (SECRET, OTHER)


def test_an_entry_without_an_address_keeps_a_secret_and_is_told_nothing(tmp_path: Path) -> None:
    subscribers = load_subscribers(write(tmp_path, f"subscribers: [{{name: ci, secret: {SECRET}, {STEPS}}}]"))
    assert subscribers.all() == ()
    assert subscribers.get("ci") is None
    with pytest.raises(NotFoundError):
        subscribers.secrets_of("cd", HOOK, TARGET)


def test_every_problem_is_listed_at_once_and_no_secret_is_repeated(tmp_path: Path) -> None:
    text = """
subscribers:
  - {name: one, url: "https://one.example", secret: whsec_short-and-secret}
  - {name: one, url: "https://one.example", secret_file: missing}
  - {name: two, url: "https://two.example"}
"""
    with pytest.raises(InvalidError) as caught:
        load_subscribers(write(tmp_path, text))
    assert [problem.where for problem in caught.value.problems] == [
        "subscribers.0.secret",
        "subscribers.1.secret_file",
        "subscribers.2",
        "subscribers.1.name",
    ]
    assert "short-and-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f"subscribers: [{{name: one, url: 'ftp://{SECRET}', secret: {SECRET}, colour: red}}]",
        f"subscribers: [{{name: one, url: 'https://one.example', secret: {{key: {SECRET}}}}}]",
        f"subscribers: {SECRET}",
        f"subscribers: [{{name: one, secret: {SECRET}",
        f"secret: {SECRET}",
    ],
)
def test_a_file_of_another_form_is_refused_without_repeating_it(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidError) as caught:
        load_subscribers(write(tmp_path, text))
    assert SECRET not in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="cannot be read"):
        load_subscribers(tmp_path / "none.yaml")


def test_no_secret_shows_in_the_representation(tmp_path: Path) -> None:
    path = write(tmp_path, f"subscribers: [{{name: chat, url: 'https://chat.example/token', secret: {SECRET}}}]")
    shown = repr(load_subscribers(path).all())
    assert SECRET not in shown
    assert "token" not in shown


@pytest.mark.parametrize(
    "entry", ["", ", steps: {hosts: [], targets: ['*']}", ", steps: {hosts: ['https://x/y'], targets: ['*']}"]
)
def test_a_secret_for_nothing_or_for_no_host_is_a_problem(tmp_path: Path, entry: str) -> None:
    with pytest.raises(InvalidError):
        load_subscribers(write(tmp_path, f"subscribers: [{{name: ci, secret: {SECRET}{entry}}}]"))
