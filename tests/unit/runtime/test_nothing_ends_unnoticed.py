"""Background work that fails or ends makes its service not alive, and says why."""

import asyncio

import pytest

from services.runtime.process.tasks import Tasks


async def fail() -> None:
    raise ValueError("a bug")


async def end() -> None:
    return


async def last() -> None:
    await asyncio.Event().wait()


async def test_work_that_fails_is_logged_with_its_reason_and_its_service_is_not_alive(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tasks = Tasks("some service")
    tasks.spawn(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not tasks.alive()
    assert "some service failed" in caplog.text
    assert "a bug" in caplog.text


async def test_a_loop_that_ends_is_a_failure_and_a_step_that_ends_is_none() -> None:
    steps, loops = Tasks("steps"), Tasks("loops")
    steps.spawn(end())
    loops.spawn(end(), lasting=True)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert steps.alive()
    assert not loops.alive()


async def test_stopping_is_no_failure() -> None:
    tasks = Tasks("some service")
    tasks.spawn(last(), lasting=True)
    await asyncio.sleep(0)
    await tasks.stop()
    assert tasks.alive()


def test_what_fails_in_a_callback_counts_too() -> None:
    tasks = Tasks("some service")
    with pytest.raises(ValueError, match="a bug"), tasks.guard():
        raise ValueError("a bug")
    assert not tasks.alive()
