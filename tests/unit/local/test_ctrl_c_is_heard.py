"""Ctrl-C is heard wherever Python stands: while it forks, where it swallows exceptions, while services start."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from penstock.local.state import tree_root

WHILE_FORKING = """
import os, signal, subprocess, sys
from pathlib import Path
from penstock.local import interrupts
from penstock.local.processes import Child
interrupts.stop_by_signals()
fork = subprocess._fork_exec
def fork_and_be_interrupted(*given):
    pid = fork(*given)
    os.kill(os.getpid(), signal.SIGINT)
    return pid
subprocess._fork_exec = fork_and_be_interrupted
child = Child("sleeper", ["sleep", "300"], Path(sys.argv[1]) / "log")
try:
    child.start()
    print("lost")
except KeyboardInterrupt:
    print("heard", "and the child is known" if child.alive else "")
child.kill()
"""

WHERE_EXCEPTIONS_ARE_SWALLOWED = """
import os, signal
from penstock.local import interrupts
interrupts.stop_by_signals()
interrupts.check()
class Thing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        [None for _ in range(1000)]
del_me = Thing()
del del_me
try:
    interrupts.check()
    print("lost")
except KeyboardInterrupt:
    print("heard")
"""


def said(script: str, folder: Path) -> str:
    environment = {"PATH": os.defpath, "PYTHONPATH": str(tree_root())}
    command = [sys.executable, "-c", script, str(folder)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_a_signal_that_comes_while_a_child_is_forked_is_delivered_once_the_child_is_known(tmp_path: Path) -> None:
    assert said(WHILE_FORKING, tmp_path) == "heard and the child is known"


def test_a_signal_whose_exception_was_swallowed_is_heard_at_the_next_check(tmp_path: Path) -> None:
    assert said(WHERE_EXCEPTIONS_ARE_SWALLOWED, tmp_path) == "heard"


def test_a_service_that_waits_for_kafka_at_its_start_ends_in_order_when_it_is_asked_to(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = {
            "PATH": os.defpath,
            "PYTHONPATH": str(tree_root()),
            "PENSTOCK_KAFKA": f"127.0.0.1:{silent.getsockname()[1]}",
            "PENSTOCK_STATE": str(tmp_path),
        }
        command = [sys.executable, "-m", "services", "rollout_control"]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as service:
            connection, _ = silent.accept()
            service.send_signal(signal.SIGTERM)
            _, words = service.communicate()
            connection.close()
    assert service.returncode == 0, words
    assert "Traceback" not in words
