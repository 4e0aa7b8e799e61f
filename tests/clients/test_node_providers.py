"""The real JavaScript providers, run by Node: over OFREP and in process on a server, over OFREP in a browser."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from services.flag_control.evaluation.bucketing import Bucketing
from services.flag_control.standalone.server import Served
from tests.support.flags.sets import CONTEXTS, EVERY_KIND, boolean, serving_files, written

HERE = Path(__file__).parent / "node"
CLOCKLESS = {key: flag for key, flag in EVERY_KIND["flags"].items() if key != "timed"}
KINDS = {"string": ("string", "?"), "object": ("object", {"?": 1}), "list": ("object", {"?": 1})} | dict.fromkeys(
    ("int", "float", "mixed-number"), ("number", -1)
)


@pytest.fixture(autouse=True)
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("no node on the PATH")
    if not (HERE / "node_modules/@openfeature/flagd-provider").is_dir():
        pytest.skip(f"the JavaScript providers are not installed: npm ci --prefix {HERE.relative_to(Path.cwd())}")
    return found


async def start(provider: str, port: int, asks: list[Any], **task: Any) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        "node", "--no-warnings", str(HERE / "probe.cjs"), provider,
        json.dumps({"port": port, "asks": asks, **task}),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def ask(provider: str, port: int, asks: list[Any], **task: Any) -> list[Any]:
    process = await start(provider, port, asks, **task)
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, err.decode()
    answers: list[Any] = json.loads(out)
    return answers


def all_asks() -> list[Any]:
    return [
        [kind, key, default, context]
        for context in CONTEXTS[:4]
        for key in CLOCKLESS
        for kind, default in [KINDS.get(key, ("boolean", True))]
    ]


def seen(key: str, answer: Any) -> tuple[Any, ...]:
    # This OFREP provider takes an answer without a value (the code's default holds) for an error; the value is right.
    code = None if key in {"disabled", "no-default"} else answer.get("errorCode")
    return answer["value"], answer["variant"], code


def port_of(provider: str, served: Served) -> int:
    return served.sync.port if provider == "flagd-in-process" else served.http.port


async def test_in_process_and_ofrep_agree_in_node_under_bucketing_v2(tmp_path: Path) -> None:
    path = written(tmp_path / "flags.json", EVERY_KIND)
    async with serving_files(path, bucketing=Bucketing.V2) as served:
        here, there = await asyncio.gather(
            *(ask(provider, port_of(provider, served), all_asks()) for provider in ("flagd-in-process", "ofrep"))
        )
    differing = [
        (question[1:], one, other)
        for question, one, other in zip(all_asks(), here, there, strict=True)
        if seen(question[1], one) != seen(question[1], other)
    ]
    assert differing == []


async def test_bucketing_v2_puts_a_thousand_users_where_nodes_own_evaluator_does_and_v3_does_not(
    tmp_path: Path,
) -> None:
    path = written(tmp_path / "flags.json", EVERY_KIND)
    asks = [
        ["boolean", key, False, {"targetingKey": f"user-{n}"}] for key in ("split", "short-split") for n in range(500)
    ]
    async with serving_files(path, bucketing=Bucketing.V2) as v2, serving_files(path, bucketing=Bucketing.V3) as v3:
        own = [answer["value"] for answer in await ask("flagd-in-process", v2.sync.port, asks)]
        ours = [answer["value"] for answer in await ask("ofrep", v2.http.port, asks)]
        other = [answer["value"] for answer in await ask("ofrep", v3.http.port, asks)]
    assert own == ours
    assert own != other
    assert 300 < sum(own) < 500


async def test_the_web_provider_evaluates_all_flags_at_once_and_hears_of_a_change(tmp_path: Path) -> None:
    path = written(tmp_path / "flags.json", {"flags": {"a": boolean(targeting=None, defaultVariant="off")}})
    async with serving_files(path) as served:
        process = await start(
            "ofrep-web", served.http.port, [["boolean", "a", True, {"targetingKey": "u"}]], follow="a"
        )
        assert process.stdout is not None
        first = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
        assert first[0]["value"] is False
        await asyncio.sleep(0.5)
        written(path, {"flags": {"a": boolean(targeting=None, defaultVariant="on")}})
        second = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
        assert second["value"] is True
        await process.wait()


async def test_an_in_process_node_client_hears_of_a_change(tmp_path: Path) -> None:
    path = written(tmp_path / "flags.json", {"flags": {"a": boolean(targeting=None, defaultVariant="off")}})
    async with serving_files(path) as served:
        process = await start("flagd-in-process", served.sync.port, [["boolean", "a", True, {}]], follow="a")
        assert process.stdout is not None
        assert json.loads(await asyncio.wait_for(process.stdout.readline(), 30))[0]["value"] is False
        await asyncio.sleep(0.3)
        written(path, {"flags": {"a": boolean(targeting=None, defaultVariant="on")}})
        assert json.loads(await asyncio.wait_for(process.stdout.readline(), 30))["value"] is True
        await process.wait()
