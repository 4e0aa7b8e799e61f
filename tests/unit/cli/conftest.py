"""The command line against a console by hand."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

import penstock.cli
from penstock.cli import client
from penstock.client import Client
from tests.support.console.fake import FakeConsole


class Said(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeConsole:
    """The console that commands talk to in this test."""
    fake = FakeConsole()
    transport = httpx.MockTransport(fake)
    monkeypatch.setattr(client, "Client", functools.partial(Client, transport=transport, sleep=lambda seconds: None))
    monkeypatch.setenv("PENSTOCK_STATE", str(tmp_path))
    monkeypatch.setenv("PENSTOCK_TOKEN", "secret")
    return fake


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line with these arguments."""

    def _run(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["penstock", *arguments])
        with pytest.raises(SystemExit) as ended:
            penstock.cli.main()
        said = capsys.readouterr()
        code = ended.value.code
        return Said(code if isinstance(code, int) else 0, said.out, said.err)

    return _run
