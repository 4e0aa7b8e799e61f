"""`./penstock` installs when the lock changed and only then; pip and Python are played by a script that notes calls."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WRAPPER = Path(__file__).parents[3] / "penstock"
PLAYED = """#!/bin/sh
echo "$@" >> "{calls}"
case "$*" in *install*) exit $(cat "{outcome}");; esac
"""


class Clone:
    """A clone with a virtual environment whose Python only notes how it is called."""

    def __init__(self, root: Path) -> None:
        self.root, self.calls, self.outcome = root, root / "calls", root / "outcome"
        shutil.copy(WRAPPER, root / "penstock")
        python = root / ".venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(PLAYED.format(calls=self.calls, outcome=self.outcome))
        python.chmod(0o755)
        (root / "deploy").mkdir()
        self.lock("one==1.0")
        self.lock("one==1.0", "two==1.0", name="requirements.lock")
        self.outcome.write_text("0")

    def lock(self, *pins: str, name: str = "deploy/requirements-clone.lock") -> None:
        (self.root / name).write_text("".join(f"{pin} \\\n    --hash=sha256:00\n" for pin in pins))

    def run(self, *arguments: str) -> tuple[int, list[str], str]:
        """Return the exit code, the calls of this run and what was said."""
        self.calls.write_text("")
        command = [sys.executable, str(self.root / "penstock"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.defpath})
        return done.returncode, self.calls.read_text().splitlines(), done.stderr


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def installs(calls: list[str]) -> list[str]:
    return [call for call in calls if " install " in call]


def test_the_first_run_installs_what_the_lock_pins_then_the_project_then_runs_the_command(clone: Clone) -> None:
    code, calls, said = clone.run("doctor", "--json")
    packages, project = installs(calls)
    assert code == 0
    assert f"--require-hashes -r {clone.root / 'deploy/requirements-clone.lock'}" in packages
    assert "--no-deps --no-build-isolation --no-index --editable" in project
    assert calls[-1] == "-P -m penstock.cli doctor --json"
    assert "1 packages of deploy/requirements-clone.lock" in said


def test_a_second_run_installs_nothing_and_says_nothing(clone: Clone) -> None:
    clone.run("doctor")
    assert clone.run("up") == (0, ["-P -m penstock.cli up"], "")


def test_the_tests_tools_are_added_when_the_tests_are_asked_for_and_what_runs_is_not_touched(clone: Clone) -> None:
    clone.run("demo")
    code, calls, said = clone.run("test", "unit")
    assert code == 0
    [packages] = installs(calls)
    assert f"--require-hashes -r {clone.root / 'requirements.lock'}" in packages
    assert calls[-1] == "-P -m penstock.cli test unit"
    assert "the tests and their tools: 2 packages" in said
    for again in ("test", "demo", "up"):
        assert installs(clone.run(again)[1]) == []


def test_tests_first_installs_all_at_once_and_whatever_comes_after_reuses_it(clone: Clone) -> None:
    packages, project = installs(clone.run("test")[1])
    assert "requirements.lock" in packages
    assert "--editable" in project
    assert clone.run("demo") == (0, ["-P -m penstock.cli demo"], "")


def test_tools_that_could_not_be_added_leave_what_runs_usable(clone: Clone) -> None:
    clone.run("demo")
    clone.outcome.write_text("1")
    assert clone.run("test")[0] == 1
    assert clone.run("demo") == (0, ["-P -m penstock.cli demo"], "")
    clone.outcome.write_text("0")
    assert len(installs(clone.run("test")[1])) == 1


def test_other_tools_for_the_tests_are_no_reason_to_install_for_anything_else(clone: Clone) -> None:
    clone.run("test")
    clone.lock("one==1.0", "two==2.0", name="requirements.lock")
    assert installs(clone.run("demo")[1]) == []
    assert len(installs(clone.run("test")[1])) == 1


def test_a_changed_lock_is_installed_anew(clone: Clone) -> None:
    clone.run("doctor")
    clone.lock("one==2.0")
    assert len(installs(clone.run("doctor")[1])) == 2


def test_what_could_not_be_installed_is_tried_again_and_the_command_does_not_run(clone: Clone) -> None:
    clone.outcome.write_text("1")
    code, calls, said = clone.run("doctor")
    assert code == 1
    assert "pip could not install" in said
    assert "Check the network and the disk" in said
    assert not any("penstock.cli" in call for call in calls)
    clone.outcome.write_text("0")
    assert len(installs(clone.run("doctor")[1])) == 2


def test_a_clone_that_was_moved_is_installed_anew(clone: Clone, tmp_path: Path) -> None:
    clone.run("doctor")
    moved = tmp_path.with_name(f"{tmp_path.name}-moved")
    shutil.copytree(clone.root, moved)
    clone.root = moved
    assert len(installs(clone.run("doctor")[1])) == 2


def test_old_pythons_can_read_it_so_that_it_can_say_what_is_wrong() -> None:
    ast.parse(WRAPPER.read_text(), feature_version=(3, 6))


def test_it_imports_the_standard_library_only() -> None:
    imports = [node for node in ast.walk(ast.parse(WRAPPER.read_text())) if isinstance(node, ast.Import)]
    names = {alias.name for node in imports for alias in node.names}
    assert names <= sys.stdlib_module_names
