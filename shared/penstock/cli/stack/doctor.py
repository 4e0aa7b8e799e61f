"""`penstock doctor`: what is here and what is missing for a local stack, each with the next step."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

from penstock.cli.exits import Exits
from penstock.cli.output import Json, Output, table
from penstock.errors import PenstockError
from penstock.local.cache import cache_folder
from penstock.local.kafka.aot import FIRST, cache_file
from penstock.local.kafka.jars import VERSION, listed, missing_jars
from penstock.local.kafka.java import find_java
from penstock.local.ports import FAR_S, is_open
from penstock.local.preflight import KAFKA_PORT, PORTS, taken_ports
from penstock.local.redis import find_server
from penstock.local.state import NOTE, is_held, state_folder, tree_root
from penstock.settings import Settings, load_settings

app = typer.Typer(help="What is here, and what is missing.")


class State(StrEnum):
    """How serious a finding is."""

    OK = "ok"
    LATER = "later"
    MISSING = "missing"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `later` will be fetched or made at the first start."""

    what: str
    state: State
    found: str
    next: str = ""


@app.command()
def doctor(json: Json = False) -> None:
    """Look for everything that a local stack needs. Exits 1 when something is missing."""
    findings = list(examine(load_settings(os.environ)))
    missing = sum(finding.state is State.MISSING for finding in findings)
    out = Output(json)
    document = {"ok": not missing, "findings": [vars(finding) for finding in findings]}
    rows = [(finding.state, finding.what, finding.found) for finding in findings]
    out.result(document, lambda: table(("", "what", "found"), rows))
    if not json:
        steps = [f"- {finding.what}: {finding.next}" for finding in findings if finding.next]
        if steps:
            typer.echo("\n".join(["", "Next steps:", *steps]))
        typer.echo("")
        later = any(finding.state is State.LATER for finding in findings)
        whole = "Nothing is missing, the rest comes when it is needed" if later else "Everything is here"
        typer.echo(f"{missing} missing" if missing else f"{whole}: `penstock up` or `penstock demo`")
    if missing:
        raise typer.Exit(Exits.INTERNAL)


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield the findings, in the order in which a start needs them."""
    yield Finding("Python", State.OK, f"{sys.version.split()[0]} at {sys.executable}")
    yield _services()
    yield from _kafka(settings)
    yield _redis(settings)
    yield _space("data", state_folder(settings), 300)
    yield from _ports(settings)
    yield _browser()


def _services() -> Finding:
    root = tree_root()
    if root is None:
        step = "run `./penstock` from a clone of the repository; the command line alone needs none of this"
        return Finding("services", State.MISSING, "not installed here", step)
    absent = [name for name in ("faststream", "numpy", "starlette", "uvicorn") if not importlib.util.find_spec(name)]
    if absent:
        return Finding("services", State.MISSING, f"without {', '.join(absent)}", "pip install 'penstock[services]'")
    return Finding("services", State.OK, str(root))


def _kafka(settings: Settings) -> Iterator[Finding]:
    if "kafka" in settings.model_fields_set:
        yield _server("Kafka", settings.kafka.partition(",")[0], "PENSTOCK_KAFKA")
        return
    java = _tried("Java", find_java, lambda found: f"{found.version} ({found.origin}: {found.path})")
    yield java
    count, absent = len(listed()), missing_jars()
    if absent:
        where = "at the first start (45 MB from the Maven repository)"
        yield Finding(f"Kafka {VERSION}", State.LATER, f"{absent} of {count} jars will be fetched {where}")
    else:
        yield Finding(f"Kafka {VERSION}", State.OK, f"{count} jars, each with the committed SHA-256")
    yield _space("cache", cache_folder(), 0 if not absent else 200)
    if java.state is State.OK and not absent:
        yield _start_cache()


def _start_cache() -> Finding:
    java = find_java()
    jars = tuple(cache_folder() / "jars" / jar.path for jar in listed())
    if java.version < FIRST:
        return Finding("start cache", State.OK, f"none with Java {java.version}: Kafka starts in 3 s instead of 1 s")
    if cache_file(java, jars):
        return Finding("start cache", State.OK, "trained")
    return Finding("start cache", State.LATER, "will be trained at the first start (15 s)")


def _redis(settings: Settings) -> Finding:
    if settings.redis is None:
        return _tried("Valkey", find_server, str)
    if settings.redis.startswith("unix:"):
        return Finding("Redis", State.OK, "by a socket, as PENSTOCK_REDIS says")
    address = settings.redis.rpartition("@")[2].partition("://")[2] or settings.redis.rpartition("@")[2]
    return _server("Redis", address.partition("/")[0], "PENSTOCK_REDIS")


def _server(what: str, address: str, variable: str) -> Finding:
    host, _, port = address.rpartition(":")
    if port.isdigit() and is_open(int(port), host.strip("[]"), FAR_S):
        return Finding(what, State.OK, f"something listens on {address} ({variable})")
    return Finding(
        what, State.MISSING, f"nobody listens on {address}", f"start it, or unset {variable} for a local one"
    )


def _tried(what: str, find: Callable[[], Any], words: Callable[[Any], str]) -> Finding:
    try:
        return Finding(what, State.OK, words(find()))
    except PenstockError as error:
        return Finding(what, State.MISSING, "none", str(error))


def _space(what: str, folder: Path, wanted_mb: int) -> Finding:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free / 1e6
    if not os.access(there, os.W_OK):
        variable = "PENSTOCK_STATE" if what == "data" else "XDG_CACHE_HOME"
        return Finding(f"{what} folder", State.MISSING, f"{there} is not writable", f"set {variable} to one that is")
    if free < wanted_mb:
        return Finding(f"{what} folder", State.MISSING, f"{free:.0f} MB free at {there}", f"free {wanted_mb} MB there")
    return Finding(f"{what} folder", State.OK, f"{folder} ({free / 1000:.0f} GB free)")


def _ports(settings: Settings) -> Iterator[Finding]:
    if is_held(state_folder(settings)):
        yield Finding("ports", State.OK, f"a local stack runs: see {state_folder(settings) / NOTE}")
        return
    for port, problem in taken_ports(settings, KAFKA_PORT):
        yield Finding(f"port {port}", State.MISSING, "taken", problem)
    looked = [getattr(settings, field) for field in PORTS]
    looked += [KAFKA_PORT] if "kafka" not in settings.model_fields_set else []
    yield Finding("ports", State.OK, "looked at: " + ", ".join(map(str, looked)))


def _browser() -> Finding:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path:
        return Finding("browser", State.OK, path)
    return Finding(
        "browser", State.LATER, "no Chromium: the tests of the dashboard will be skipped", "apt install chromium"
    )
