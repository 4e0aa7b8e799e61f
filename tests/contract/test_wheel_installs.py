"""The wheel as the README and the CI snippets install it: the command line works, and no service or bench is in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel of this tree is installed into."""
    folder = tmp_path_factory.mktemp("wheel")
    tool = Path(sys.executable).with_name("uv")
    install = [tool, "pip", "install", "--offline", "--no-deps", "--no-build-isolation", "--quiet"]
    where = ["--python", sys.executable, "--target", str(folder), "--cache-dir", str(folder / ".cache")]
    subprocess.run([*install, *where, str(ROOT)], check=True, capture_output=True, timeout=100)
    return folder


def run(installed: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(installed), "COLUMNS": "200"}
    command = [sys.executable, "-P", "-m", "penstock.cli", *words]
    return subprocess.run(
        command, cwd=installed, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_only_the_contract_and_the_command_line_are_in_it(installed: Path) -> None:
    packages = {path.name for path in installed.iterdir() if path.is_dir() and not path.name.startswith((".", "bin"))}
    assert {name for name in packages if not name.endswith(".dist-info")} == {"penstock"}


def test_its_command_line_checks_a_plan(installed: Path) -> None:
    done = run(installed, "plans", "lint", str(ROOT / "deploy" / "plans" / "checkout.yaml"))
    assert (done.returncode, done.stderr) == (0, "")


def test_what_needs_a_clone_says_so(installed: Path) -> None:
    done = run(installed, "bench", "gates")
    assert done.returncode == 5
    assert "run it from a clone" in done.stderr


@pytest.mark.parametrize("snippet", ["github-actions.yaml", "gitlab-ci.yaml"])
def test_no_snippet_installs_by_a_name_that_a_stranger_could_register(snippet: str) -> None:
    assert "pip install penstock" not in (ROOT / "deploy" / "ci" / snippet).read_text()
