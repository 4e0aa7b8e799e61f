"""Flag files while they change: written in pieces, gone for a moment, replaced, and read beside the serving."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.flag_control.serving.store import FlagStore
from services.flag_control.standalone.files import Files
from tests.support.flags.sets import boolean, written

ON = {"flags": {"a": boolean(targeting=None, defaultVariant="on")}}
OFF = {"flags": {"a": boolean(targeting=None, defaultVariant="off")}}


@asynccontextmanager
async def followed(*paths: Path) -> AsyncIterator[tuple[FlagStore, list[str]]]:
    store, reported = FlagStore(), []
    files = Files(paths, store, reported.append)
    files.load()
    reported.clear()
    task = asyncio.create_task(files.follow())
    yield store, reported
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def serves(store: FlagStore, variant: str) -> None:
    async with asyncio.timeout(10):
        while store.get().flags["a"]["defaultVariant"] != variant:  # type: ignore[union-attr]  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def settled() -> None:
    await asyncio.sleep(0.5)


async def test_a_file_that_is_gone_for_a_moment_and_comes_back_as_it_was_is_no_news(tmp_path: Path) -> None:
    path = written(tmp_path / "f.json", OFF)
    async with followed(path) as (store, reported):
        path.unlink()
        await asyncio.sleep(0.03)
        written(path, OFF)
        await settled()
        assert reported == []
        path.unlink()
        await settled()
        assert len(reported) == 1
        assert "the last good flags stay" in reported[0]
        await serves(store, "off")


async def test_a_file_that_is_written_in_pieces_is_in_force_when_it_is_whole_and_no_piece_is_complained_of(
    tmp_path: Path,
) -> None:
    path = written(tmp_path / "f.json", OFF)
    text = json.dumps(ON)
    async with followed(path) as (store, reported):
        for end in (1, len(text) // 2, len(text)):
            path.write_text(text[:end])
            await asyncio.sleep(0.03)
        await serves(store, "on")
        await settled()
        assert len(reported) == 1
        assert "1 flags in force" in reported[0]


async def test_a_link_that_is_pointed_elsewhere_is_a_change(tmp_path: Path) -> None:
    for name, document in (("one", OFF), ("two", ON)):
        (tmp_path / name).mkdir()
        written(tmp_path / name / "f.json", document)
    (tmp_path / "data").symlink_to("one")
    async with followed(tmp_path / "data" / "f.json") as (store, _):
        await serves(store, "off")
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").replace(tmp_path / "data")
        await serves(store, "on")


async def test_a_large_file_is_read_beside_the_serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "f.json", OFF)
    async with followed(path) as (store, _):
        loop, inside = asyncio.get_running_loop(), []
        checked = Files._checked

        def slow(self: Files, path: Path, content: bytes) -> object:
            try:
                inside.append(asyncio.get_running_loop() is loop)
            except RuntimeError:
                inside.append(False)
            return checked(self, path, content)

        monkeypatch.setattr(Files, "_checked", slow)
        written(path, {**ON, "$schema": "x" * 100_000})
        await serves(store, "on")
        assert inside
        assert not any(inside)


async def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(ON).encode())
    async with followed(path) as (store, _):
        await serves(store, "on")


async def test_a_file_that_is_named_twice_is_one_source(tmp_path: Path) -> None:
    path = written(tmp_path / "f.json", OFF)
    async with followed(path, path) as (store, reported):
        written(path, ON)
        await serves(store, "on")
        await settled()
        assert len(reported) == 1
