"""Copies of a service are told apart without anybody naming them, and two of one name never share a folder unseen."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.errors import SettingsError, UnavailableError
from penstock.local.state import instance_name, tree_root
from penstock.settings import Settings, host_name, load_settings
from services.runtime.process.instance import held, instance_folder


def settings(folder: Path, name: str = "one") -> Settings:
    return load_settings({"PENSTOCK_STATE": str(folder), "PENSTOCK_INSTANCE": name})


def test_two_containers_have_two_names(monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    for host in ("4f1c2a9b7d10", "rollout-control-7d9c5-x2x8q"):
        monkeypatch.setattr(socket, "gethostname", lambda host=host: host)
        names.append(load_settings({}).instance)
    assert names == ["4f1c2a9b7d10", "rollout-control-7d9c5-x2x8q"]


@pytest.mark.parametrize(
    ("host", "name"),
    [("laptop.home", "laptop.home"), ("Anna's Mac", "Anna-s-Mac"), ("_x_", "x_"), ("", "local"), ("ß", "local")],
)
def test_a_host_name_of_any_kind_can_name_a_folder_and_a_group_member(host: str, name: str) -> None:
    assert host_name(host) == name
    assert load_settings({"PENSTOCK_INSTANCE": host_name(host)}).instance == host_name(host)


@pytest.mark.parametrize("name", ["a/b", "..", "a b", "-a", "x" * 201])
def test_a_name_that_would_leave_the_state_folder_or_that_kafka_refuses_is_a_problem(name: str) -> None:
    with pytest.raises(SettingsError, match="PENSTOCK_INSTANCE"):
        load_settings({"PENSTOCK_INSTANCE": name})


def test_a_second_copy_of_one_name_on_one_folder_is_told_which_variable_tells_them_apart(tmp_path: Path) -> None:
    one = settings(tmp_path)
    with (
        held(one, ("flag_control", "console")),
        pytest.raises(UnavailableError, match=rf"another console called 'one' \(process {os.getpid()}\).*_INSTANCE"),
        held(one, ("notification", "console")),
    ):
        pass
    with held(one, ("notification", "console")):
        pass


def test_copies_of_other_names_and_other_services_share_a_folder(tmp_path: Path) -> None:
    with (
        held(settings(tmp_path), ("flag_control",)),
        held(settings(tmp_path, "two"), ("flag_control",)),
        held(settings(tmp_path), ("console",)),
    ):
        assert instance_folder(settings(tmp_path), "flag_control") != instance_folder(settings(tmp_path), "console")


def test_a_copy_that_was_killed_has_let_go_of_its_name(tmp_path: Path) -> None:
    hold = (
        "import sys, time; from penstock.settings import load_settings\n"
        "from services.runtime.process.instance import held\n"
        "with held(load_settings({'PENSTOCK_STATE': sys.argv[1], 'PENSTOCK_INSTANCE': 'one'}), ['console']):\n"
        "    print('held', flush=True); time.sleep(300)\n"
    )
    command = [sys.executable, "-c", hold, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(tmp_path)) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UnavailableError, match=f"process {holder.pid}"), held(settings(tmp_path), ("console",)):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with held(settings(tmp_path), ("console",)):
        pass


def test_the_second_process_ends_before_it_touches_kafka_and_says_why(tmp_path: Path) -> None:
    with held(settings(tmp_path), ("rollout_control",)):
        command = [sys.executable, "-m", "services", "rollout_control"]
        done = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True)
    assert done.returncode == 1
    assert "give each copy a name of its own by PENSTOCK_INSTANCE" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_written_is_said_with_its_variable(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(UnavailableError, match="PENSTOCK_STATE"), held(settings(tmp_path / "state"), ("console",)):
        pass


def test_a_local_stack_keeps_its_name_and_another_folder_has_another(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    first = instance_name(tmp_path / "a")
    assert instance_name(tmp_path / "a") == first
    assert instance_name(tmp_path / "b") != first
    assert load_settings({"PENSTOCK_INSTANCE": first}).instance == first


def environment(folder: Path) -> dict[str, str]:
    ours = {"PENSTOCK_STATE": str(folder), "PENSTOCK_INSTANCE": "one", "PENSTOCK_KAFKA": "127.0.0.1:1"}
    return {"PATH": os.defpath, "PYTHONPATH": str(tree_root()), **ours}
