"""What the POST of one rollback raises is its refused attempt, which calls a person; nothing else ends."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from penstock.chain.failures import FAULT
from penstock.events import Event, Saw, StepObserved
from penstock.settings import Settings
from services.rollback_execution import app as app_module
from services.rollback_execution.app import RollbackExecution
from services.rollback_execution.errands import Errand
from services.runtime.process.service import system_clock
from tests.support.deciders.rollbacks import TARGET
from tests.unit.rollback_execution.test_rollback_posting import at_the_hook


async def test_a_post_that_raises_is_observed_as_refused_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> Any:
        raise UnicodeError("planted")

    monkeypatch.setattr(app_module, "post", fail)
    service, observed = RollbackExecution(Settings(state=tmp_path), system_clock), list[Event]()
    monkeypatch.setattr(service._shell, "observe", observed.append)
    state = at_the_hook().state
    monkeypatch.setattr(app_module, "errand_of", lambda *_: Errand("post", "rollback", 1, 1))
    for _ in range(2):
        service._run_errand(TARGET, state)
        await asyncio.sleep(0.01)
    (seen,) = observed
    assert isinstance(seen, StepObserved)
    assert seen.saw is Saw.REFUSED
    assert seen.reason.startswith(f"{FAULT}UnicodeError: planted")
    assert service._posts.alive()
    await service._posts.stop()


async def test_a_restored_target_that_raises_does_not_keep_the_others_from_their_errands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, run = RollbackExecution(Settings(state=tmp_path), system_clock), list[str]()
    monkeypatch.setattr(service, "_run_errand", lambda target, _: run.append(target) if target != "bad" else {}["bad"])
    service._on_restored({"bad": {}, TARGET: {}})
    assert run == [TARGET]
