"""The demo as a newcomer runs it: every promise that it makes is checked, and it leaves nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from penstock.local.kafka.jars import kafka_jars
from penstock.local.progress import Narrator
from penstock.local.state import tree_root
from tests.support.stack import LocalKafka


@pytest.mark.timeout(240)
def test_the_demo_keeps_its_promises_and_leaves_no_process_behind(kafka: LocalKafka, tmp_path: Path) -> None:
    # `kafka` only so that downloads and the start cache are there: the demo starts its own.
    assert kafka_jars(Narrator(quiet=True))
    others = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    ours = {"PENSTOCK_STATE": str(tmp_path), "PENSTOCK_CONSOLE_PORT": "0", "PYTHONPATH": str(tree_root())}
    environment = {**others, **ours}
    command = (sys.executable, "-P", "-m", "penstock.cli", "demo", "--check")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "FAIL" not in done.stdout
    left = [process for process in psutil.process_iter(["cmdline"]) if str(tmp_path) in str(process.info["cmdline"])]
    assert left == []
