"""The root: fast help, missing parts, exit codes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import penstock.cli
from penstock.cli import exits
from penstock.cli.exits import Exits
from penstock.cli.lazy import Entry, LazyCommand
from penstock.errors import (
    CorruptError,
    InvalidError,
    NotFoundError,
    PenstockError,
    UnauthorizedError,
    UnavailableError,
)
from tests.support.console.fake import FakeConsole
from tests.unit.cli.conftest import Run


def test_help_imports_no_command_and_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys, typer.main, penstock.cli as c\n"
        "command = typer.main.get_command(c.app)\n"
        "try:\n    command(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = ('pydantic', 'httpx', 'aiokafka', 'numpy', 'penstock.cli.rollouts.commands')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_a_command_whose_module_is_missing_says_so_and_leaves_the_others_alone(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = LazyCommand(Entry("nowhere", "penstock.cli.nowhere", "Not here.", "Run"))
    assert missing.hidden
    with pytest.raises(Exception, match="not part of this installation"):
        missing.load()
    assert run("--help").code == 0


def test_every_command_of_the_table_that_is_here_has_a_help_page(run: Run) -> None:
    present = [entry for entry in penstock.cli.COMMANDS if not LazyCommand(entry).hidden]
    assert len(present) >= 10
    for entry in present:
        said = run(entry.name, "--help")
        assert (said.code, "Usage:" in said.out) == (0, True), entry.name


def test_exit_codes_are_those_of_the_agreed_table() -> None:
    assert {code.name: int(code) for code in Exits} == {
        "REACHED": 0, "INTERNAL": 1, "USAGE": 2, "TIMEOUT": 3, "AUTH": 4, "NOT_FOUND": 5, "UNREACHABLE": 6,
        "APPROVAL": 8, "ROLLED_BACK": 10, "ABORTED": 11, "HELD": 12, "SUPERSEDED": 13,
    }  # fmt: skip
    assert set(exits.MEANING) == set(Exits)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnauthorizedError("no"), 4),
        (NotFoundError("no"), 5),
        (UnavailableError("no"), 6),
        (InvalidError("plan", []), 2),
        (CorruptError("no"), 1),
    ],
)
def test_each_branch_of_the_error_tree_has_its_exit_code(error: PenstockError, code: int) -> None:
    assert exits.of_error(error) == code


def test_settings_that_are_wrong_are_a_usage_error_that_names_them(
    run: Run, console: FakeConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_SERVR", "http://x")
    said = run("rollouts", "list")
    assert said.code == Exits.USAGE
    assert "PENSTOCK_SERVR" in said.err


def test_a_local_stacks_note_names_server_and_token_unless_the_environment_does(
    run: Run, console: FakeConsole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "local.json").write_text('{"server": "http://127.0.0.1:9999", "token": "from-the-stack"}')
    run("rollouts", "list")
    assert str(console.requests[-1].url).startswith("http://127.0.0.1:9999/")
    assert console.requests[-1].headers["authorization"] == "Bearer secret"
    monkeypatch.delenv("PENSTOCK_TOKEN")
    run("rollouts", "list")
    assert console.requests[-1].headers["authorization"] == "Bearer from-the-stack"


@pytest.mark.parametrize("address", ["localhost:8400", "127.0.0.1", "ftp://console"])
def test_an_address_without_its_scheme_is_a_usage_error_that_says_so(address: str) -> None:
    done = penstock_run(["rollouts", "list"], PENSTOCK_SERVER=address)
    assert (done.returncode, "PENSTOCK_SERVER: must start with http:// or https://" in done.stderr) == (2, True)


def test_a_terminal_without_unicode_shows_the_words() -> None:
    done = penstock_run(["doctor"], PYTHONIOENCODING="ascii", LC_ALL="C")
    assert "Traceback" not in done.stderr
    plan = penstock_run(["plans", "power", "deploy/plans/checkout.yaml", "--traffic", "2"], PYTHONIOENCODING="ascii")
    assert (plan.returncode, "errors" in plan.stdout) == (0, True)


def penstock_run(words: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    return subprocess.run(
        [sys.executable, "-m", "penstock.cli", *words],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
