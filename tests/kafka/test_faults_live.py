"""Live, one process a service, under load: kill -9 of each service and server in turn, and every release still ends
safely."""

import io
import os
import signal
from pathlib import Path

import pytest
from rich.console import Console

from deploy.demo.cast import Cast
from deploy.demo.director import Director
from deploy.demo.features import GOOD, SAME, UNMEASURED
from penstock.events import RollbackStarted
from penstock.local.kafka.broker import LocalKafka
from penstock.local.progress import Narrator
from penstock.local.stack import SERVICES
from penstock.rollout import Phase
from penstock.settings import Settings

VICTIMS = ("kafka", *SERVICES, "redis")
BETWEEN_S = 3.0
"""Seconds between kills: what died is started again within one, and is at work within three or four."""


@pytest.mark.timeout(240)
def test_after_kill_9_of_each_service_and_server_the_bad_release_is_rolled_back_and_no_other(
    kafka: LocalKafka, tmp_path: Path
) -> None:
    # `kafka` only so that downloads and the start cache are there: the demo starts its own.
    assert kafka.bootstrap
    settings = Settings.model_validate({"state": tmp_path, "console_port": 0})
    # One that fails, not one that is slow: what kills and starts do to two cores makes everybody slow.
    with Cast(settings, Narrator(quiet=True), processes=True, broken=SAME.flag) as cast:
        director = Director(cast, Console(file=io.StringIO()))
        director.open()
        director.release()
        good, bad, unmeasured = (director.stories[feature.target] for feature in (GOOD, SAME, UNMEASURED))
        first = dict(cast.stack.pids)
        for victim in VICTIMS:
            os.kill(cast.stack.pids[victim], signal.SIGKILL)
            director.until(lambda: False, BETWEEN_S, needed=False)
        director.until(lambda: bad.phase is Phase.ROLLED_BACK and unmeasured.phase is Phase.HELD, 90.0)
        assert all(cast.stack.pids[name] != first[name] for name in VICTIMS)
        assert bad.breach is not None
        assert "errors" in bad.breach.blamed
        for story in (good, unmeasured):
            assert story.first(RollbackStarted) is None
            assert story.phase in {Phase.BAKING, Phase.HELD, Phase.COMPLETED}
