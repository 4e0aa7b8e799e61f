"""Before anything is started, all that is in the way is told at once, each with its next step."""

import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from penstock.errors import UnavailableError
from penstock.local.ports import free_ports
from penstock.local.preflight import PORTS, choose_ports, look_first
from penstock.local.state import tree_root
from penstock.settings import load_settings, variable_of

FREE = {variable_of(field): "0" for field in PORTS}


def test_all_taken_ports_are_told_at_once_with_the_way_to_have_free_ones(tmp_path: Path) -> None:
    with ExitStack() as servers:
        held = [servers.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(5)]
        settings = load_settings({variable_of(field): str(port) for field, port in zip(PORTS, held, strict=False)})
        with pytest.raises(UnavailableError) as refused:
            look_first(settings, held[4], tmp_path)
    said = str(refused.value)
    for port in held:
        assert f"127.0.0.1:{port}, wanted for" in said
    assert "5 things are in the way, and nothing was started" in said
    assert "PENSTOCK_CONSOLE_PORT=0 PENSTOCK_OTLP_PORT=0" in said
    assert "--kafka-port 0" in said


def test_a_single_problem_is_told_in_its_own_words(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = load_settings({**FREE, "PENSTOCK_SYNC_PORT": str(taken.getsockname()[1])})
        with pytest.raises(UnavailableError, match=r"^port .*wanted for flag streams.*PENSTOCK_SYNC_PORT"):
            look_first(settings, 0, tmp_path)


def test_servers_of_somebodys_own_that_do_not_answer_are_told_together(tmp_path: Path) -> None:
    kafka, redis = free_ports(2)
    servers = {"PENSTOCK_KAFKA": f"127.0.0.1:{kafka}", "PENSTOCK_REDIS": f"redis://127.0.0.1:{redis}/0"}
    with pytest.raises(UnavailableError, match=r"(?s)PENSTOCK_KAFKA.*PENSTOCK_REDIS"):
        look_first(load_settings({**FREE, **servers}), 0, tmp_path)


def test_free_ports_and_a_folder_with_room_are_no_problem(tmp_path: Path) -> None:
    settings = load_settings(FREE)
    look_first(settings, 0, tmp_path)
    ports = choose_ports(settings)
    assert len({*ports.values(), "0"}) == len(PORTS) + 1


def test_up_says_it_before_anything_was_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        environment = {**FREE, "PENSTOCK_OTLP_PORT": port, "PENSTOCK_STATE": str(tmp_path), "HOME": str(tmp_path)}
        command = [sys.executable, "-m", "penstock.cli", "up", "--kafka-port", port]
        paths = {"PATH": os.defpath, "PYTHONPATH": str(tree_root())}
        done = subprocess.run(command, env={**environment, **paths}, capture_output=True, text=True)
    assert done.returncode == 6
    assert f"{port}, wanted for the metrics intake" in done.stderr
    assert f"{port}, wanted for Kafka" in done.stderr
    assert "starting" not in done.stderr.replace("nothing was started", "")
    assert not (tmp_path / "redis").exists()
