"""A disk that fills up under a command is one sentence with a next step; any other error of the machine stays whole."""

import errno

import pytest

from penstock import cli
from penstock.cli.exits import Exits


def failing(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def app(**_: object) -> None:
        raise OSError(number, "It was said", "/some/file")

    monkeypatch.setattr(cli, "app", app)


def test_a_full_disk_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    failing(monkeypatch, errno.ENOSPC)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == Exits.INTERNAL
    said = capsys.readouterr().err
    assert "It was said (/some/file): make room there" in said
    assert "PENSTOCK_STATE" in said
    assert "Traceback" not in said


def test_an_error_that_nobody_thought_of_keeps_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="It was said"):
        cli.main()
