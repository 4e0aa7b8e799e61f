"""A process of services: what was there when it became ready is no longer looked through by the garbage collector."""

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.settings import Settings
from services.runtime.process import process


class Idle:
    """A service that has nothing to do."""

    name = "idle"

    def __init__(self, stop: asyncio.Event) -> None:
        self.stop_asked = stop
        self.set_aside = 0

    async def start(self) -> None:
        self.before = gc.get_freeze_count()

    async def stop(self) -> None:
        pass

    def ready(self) -> bool:
        return True

    def alive(self) -> bool:
        # Asked for the first time once the process is ready.
        self.set_aside = gc.get_freeze_count() - self.before
        self.stop_asked.set()
        return True


@pytest.fixture(autouse=True)
def collected_again() -> Iterator[None]:
    yield
    gc.unfreeze()


async def test_what_lives_as_long_as_the_process_is_set_aside_once_it_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = asyncio.Event()
    idle = Idle(stop)
    monkeypatch.setattr(process, "build", lambda name, settings: idle)
    assert await process.run(("idle",), Settings(state=tmp_path), stop) == 0
    assert idle.set_aside > 10_000
