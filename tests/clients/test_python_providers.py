"""The real Python providers against the real servers: the same answers in process, over OFREP, and from the core."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent
from openfeature.provider import AbstractProvider

from services.flag_control.standalone.server import Served
from tests.support.flags.sets import CONTEXTS, EVERY_KIND, boolean, serving_files, written

KINDS = {
    "string": ("get_string_details", "?"),
    "int": ("get_integer_details", -1),
    "float": ("get_float_details", -1.5),
    "mixed-number": ("get_float_details", -1.5),
    "object": ("get_object_details", {"?": 1}),
    "list": ("get_object_details", {"?": 1}),
}


@contextmanager
def client_of(provider: AbstractProvider, domain: str) -> Iterator[OpenFeatureClient]:
    api.set_provider_and_wait(provider, domain)
    try:
        yield api.get_client(domain)
    finally:
        api.shutdown()
        api.clear_providers()


def in_process(served: Served, **options: Any) -> FlagdProvider:
    return FlagdProvider(
        resolver_type=ResolverType.IN_PROCESS,
        host="127.0.0.1",
        port=served.sync.port,
        deadline_ms=5000,
        retry_backoff_ms=100,
        retry_backoff_max_ms=200,
        **options,
    )


def over_ofrep(served: Served, **headers: str) -> OFREPProvider:
    return OFREPProvider(f"http://127.0.0.1:{served.http.port}", headers_factory=lambda: headers)


def context_of(attributes: dict[str, Any]) -> EvaluationContext:
    return EvaluationContext(
        attributes.get("targetingKey"), {k: v for k, v in attributes.items() if k != "targetingKey"}
    )


def everything(client: OpenFeatureClient, context: dict[str, Any]) -> dict[str, Any]:
    """Evaluate every flag of the set; return what an application sees of each."""
    found = {}
    for key in EVERY_KIND["flags"]:
        method, default = KINDS.get(key, ("get_boolean_details", True))
        details = getattr(client, method)(key, default, context_of(context))
        found[key] = (
            details.value,
            type(details.value).__name__,
            details.variant or "",
            str(details.reason),
            details.error_code,
            dict(details.flag_metadata),
        )
    return found


async def with_client(provider: AbstractProvider, work: Callable[[OpenFeatureClient], Any]) -> Any:
    """Run blocking client code beside the servers."""

    def run() -> Any:
        with client_of(provider, "test") as client:
            return work(client)

    return await asyncio.to_thread(run)


@asynccontextmanager
async def served_everything(tmp_path: Path, **options: Any) -> AsyncIterator[tuple[Served, Path]]:
    path = written(tmp_path / "flags.json", EVERY_KIND)
    async with serving_files(path, **options) as served:
        yield served, path


async def test_in_process_and_ofrep_clients_see_the_same_for_every_flag_and_context(tmp_path: Path) -> None:
    async with served_everything(tmp_path) as (served, _):

        def ask(client: OpenFeatureClient) -> list[dict[str, Any]]:
            return [everything(client, context) for context in CONTEXTS]

        here = await with_client(in_process(served), ask)
        there = await with_client(over_ofrep(served), ask)
    assert here == there
    reached = {details[3] for answers in here for details in answers.values()}
    assert {"STATIC", "TARGETING_MATCH", "DEFAULT", "DISABLED"} <= reached


async def test_errors_reach_the_application_as_codes(tmp_path: Path) -> None:
    async with served_everything(tmp_path) as (served, _):

        def ask(client: OpenFeatureClient) -> tuple[Any, Any]:
            return client.get_boolean_details("nope", True), client.get_boolean_details("string", True)

        for provider in (in_process(served), over_ofrep(served)):
            missing, mistyped = await with_client(provider, ask)
            assert (missing.value, missing.error_code.value) == (True, "FLAG_NOT_FOUND")
            assert (mistyped.value, mistyped.error_code.value) == (True, "TYPE_MISMATCH")


async def test_a_change_reaches_a_connected_client_by_itself_also_when_the_file_is_replaced(tmp_path: Path) -> None:
    async with served_everything(tmp_path) as (_, path), serving_files(path) as served:
        loop = asyncio.get_running_loop()

        def follow(client: OpenFeatureClient) -> bool:
            changed = asyncio.Event()
            client.add_handler(
                ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, lambda _: loop.call_soon_threadsafe(changed.set)
            )
            assert client.get_boolean_value("bool", False) is False
            aside = written(path.with_suffix(".new"), {"flags": {"bool": boolean(targeting=None, defaultVariant="on")}})
            aside.replace(path)
            asyncio.run_coroutine_threadsafe(asyncio.wait_for(changed.wait(), 5), loop).result()
            return client.get_boolean_value("bool", False)

        assert await with_client(in_process(served), follow) is True


async def test_the_servers_context_enriches_evaluations_in_process_and_over_ofrep(tmp_path: Path) -> None:
    async with served_everything(tmp_path, context={"tenant": "acme"}) as (served, _):
        for provider in (in_process(served), over_ofrep(served)):
            assert await with_client(provider, lambda client: client.get_boolean_value("tenant", False)) is True


async def test_selectors_give_a_client_its_set_by_id_or_by_source(tmp_path: Path) -> None:
    one = written(tmp_path / "one.json", {"flags": {"a": boolean()}, "metadata": {"flagSetId": "x"}})
    two = written(tmp_path / "two.json", {"flags": {"a": boolean(), "b": boolean()}, "metadata": {"flagSetId": "y"}})
    async with serving_files(one, two) as served:

        def missing(client: OpenFeatureClient) -> bool:
            return client.get_boolean_details("b", True).error_code is not None

        for selector, gone in (("flagSetId=x", True), (f"source={one}", True), ("flagSetId=y", False)):
            assert await with_client(in_process(served, selector=selector), missing) is gone
            assert await with_client(over_ofrep(served, **{"flagd-selector": selector}), missing) is gone
        assert await with_client(in_process(served), missing) is False


async def test_a_client_whose_server_restarts_comes_back_and_keeps_its_flags_meanwhile(tmp_path: Path) -> None:
    path = written(tmp_path / "flags.json", {"flags": {"a": boolean(targeting=None, defaultVariant="on")}})
    async with serving_files(path) as first:
        port = first.sync.port
        provider = in_process(first)
        await asyncio.to_thread(api.set_provider_and_wait, provider, "again")
    client = api.get_client("again")
    try:
        assert client.get_boolean_value("a", False) is True, "the last flags stay in force"
        written(path, {"flags": {"a": boolean(targeting=None, defaultVariant="off")}})
        async with serving_files(path, sync_port=port) as second:
            assert second.sync.port == port
            for _ in range(100):
                if client.get_boolean_value("a", True) is False:
                    break
                await asyncio.sleep(0.1)
            assert client.get_boolean_value("a", True) is False
    finally:
        await asyncio.to_thread(api.shutdown)
        api.clear_providers()


async def test_a_bad_file_never_reaches_a_client_and_the_last_good_set_stays(tmp_path: Path) -> None:
    said: list[str] = []
    path = written(tmp_path / "flags.json", {"flags": {"a": boolean(targeting=None, defaultVariant="on")}})
    async with serving_files(path, said=said) as served:
        before = served.store.get()
        path.write_text(json.dumps({"flags": {"a": boolean(state="MAYBE"), "b": {}}}))
        for _ in range(100):
            if any("last good flags stay" in text for text in said):
                break
            await asyncio.sleep(0.05)
        complaint = next(text for text in said if "last good flags stay" in text)
        assert "flags.a.state" in complaint
        assert "flags.b.variants" in complaint
        assert served.store.get() is before
