"""`penstock flags` as it is typed: the standalone server, and the verbs against a flag control in memory."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.routing import Route

from penstock.chain import Document
from penstock.events import Event, RolloutAnnounced, StageEntered, to_json
from penstock.tokens import Identity, Tokens, digest_of
from services.flag_control.decide import decide
from services.flag_control.http_api import control_app
from services.flag_control.operations import FlagOperations
from services.flag_control.publisher import Publisher
from services.flag_control.serving.http_server import http_server
from services.flag_control.serving.ofrep import Ofrep
from services.flag_control.serving.store import FlagStore
from services.flag_control.serving.usage import Usage
from services.flag_control.standalone.files import Files
from services.flag_control.standalone.server import Options, _until_stopped
from tests.support.builders import an
from tests.support.flags.operations import operations_on
from tests.support.flags.sets import EVERY_KIND, boolean, written

TARGET = "production/checkout/new-payment-form"
TOKEN = "a-token"


class Memory:
    """A log that accepts everything at once."""

    def __init__(self) -> None:
        self.documents: dict[str, Document] = {}
        self.publisher: Publisher
        self.operations: FlagOperations

    def ready(self) -> bool:
        return True

    def document(self, target: str) -> Document:
        return self.documents.get(target, {})

    def submit(self, request: Event, after: float = 0.0) -> None:
        decision = decide(request.target, self.document(request.target), request)
        self.documents[request.target] = decision.document
        self.publisher.apply_accepted(request.target, frozenset({request.id}))
        self.operations.answer((request.id,), [to_json(fact) for fact in decision.events])


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[str]:
    store, memory, usage = FlagStore(), Memory(), Usage(lambda: 1.0)
    memory.publisher = Publisher(store, memory.document)
    memory.operations = operations_on(memory, tmp_path / "kills", store, memory.publisher, usage)
    tokens = Tokens(
        tokens=(
            Identity(sha256=digest_of(TOKEN), identity="ann", roles=("operator",)),
            Identity(sha256=digest_of("reader"), identity="eve", roles=("publisher",)),
        )
    )
    more: list[Route] = []
    http = http_server(Ofrep(store, usage, control_app(memory.operations, tokens, more)), "127.0.0.1", 0)
    await http.start()
    memory.submit(an(RolloutAnnounced))
    memory.submit(an(StageEntered, exposure=0.5, audience={}))
    yield f"http://127.0.0.1:{http.port}"
    await http.stop()


async def penstock(server: str, *words: str, token: str = TOKEN, status: int = 0) -> str:
    environment = {**os.environ, "PENSTOCK_FLAGS_SERVER": server, "PENSTOCK_TOKEN": token, "NO_COLOR": "1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "penstock.cli", "flags", *words,
        env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == status, out.decode() + err.decode()
    return out.decode() + err.decode()


async def test_a_flag_is_listed_shown_killed_and_the_kill_undone_by_its_id(server: str) -> None:
    assert "rolling out" in await penstock(server, "list")
    killed = json.loads(await penstock(server, "kill", TARGET, "--reason", "broken", "--json"))
    assert killed["instances"] == {"killed": 1, "of": 1, "unreached": []}
    assert killed["recorded"] is True
    assert killed["in_force"] is True
    shown = await penstock(server, "show", TARGET)
    assert f"--kill {killed['kill']}" in shown
    assert "exposure 0 " in shown
    assert "in force" in await penstock(server, "undo", TARGET, "--kill", "x", "--reason", "r", status=2)
    assert "kill.lifted" in await penstock(server, "undo", TARGET, "--kill", killed["kill"], "--reason", "fixed")
    assert json.loads(await penstock(server, "show", TARGET, "--json"))["exposure"] == 0.5


async def test_whoever_may_not_write_changes_nothing(server: str) -> None:
    await penstock(server, "kill", TARGET, "--reason", "broken", token="reader", status=4)
    await penstock(server, "kill", TARGET, "--reason", "broken", token="", status=4)
    await penstock(server, "kill", "production/checkout/nope", "--reason", "broken", status=5)
    assert json.loads(await penstock(server, "list", "--json"))["flags"][0]["killed"] == []


async def test_flags_are_imported_exported_opted_out_of_and_archived(server: str, tmp_path: Path) -> None:
    path = written(tmp_path / "flags.json", {"flags": {"banner": boolean(), "other": boolean()}})
    await penstock(server, "import", str(path), "--set", "production/shop", "--reason", "moved from flagd")
    exported = json.loads(await penstock(server, "export", "production/shop"))
    assert exported["flags"]["banner"]["targeting"] == boolean()["targeting"]
    assert "flag.edited" in await penstock(server, "opt-out", TARGET, "user-1", "--reason", "asked")
    assert "flag.archived" in await penstock(server, "archive", "production/shop/banner", "on", "--reason", "done")
    assert "is archived" in await penstock(
        server, "opt-out", "production/shop/banner", "u", "--reason", "late", status=2
    )
    bad = written(tmp_path / "bad.json", {"flags": {"f": boolean(targeting={"no-such": 1})}})
    said = await penstock(server, "import", str(bad), "--set", "production/shop", "--reason", "r", status=2)
    assert "no-such" in said


@pytest.mark.parametrize("levels", [150, 900, 20_000])
async def test_a_definition_nested_without_end_is_refused_and_the_service_goes_on(server: str, levels: int) -> None:
    deep = "[" * levels + "]" * levels
    body = '{"reason": "r", "definition": {"targeting": {"!": ' + deep + "}}}"
    async with httpx.AsyncClient(base_url=server, headers={"authorization": f"Bearer {TOKEN}"}) as client:
        answer = await client.post(f"/flags/{TARGET}/definition", content=body)
        assert answer.status_code == 422, answer.text
        assert (await client.get(f"/flags/{TARGET}")).status_code == 200


async def test_an_import_takes_the_good_flags_and_names_every_one_that_is_refused(server: str, tmp_path: Path) -> None:
    wrong = boolean(targeting={"no-such": 1})
    path = written(tmp_path / "flags.json", {"flags": {"one": wrong, "two": boolean(), "three": wrong}})
    said = await penstock(server, "import", str(path), "--set", "production/shop", "--reason", "r", status=2)
    assert "1 of 3 flags imported" in said
    assert "flags.one" in said
    assert "flags.three" in said
    assert set(json.loads(await penstock(server, "export", "production/shop"))["flags"]) == {"two"}


async def test_what_is_exported_and_imported_again_is_served_alike_and_changes_nothing(
    server: str, tmp_path: Path
) -> None:
    good = {key: flag for key, flag in EVERY_KIND["flags"].items() if "/" not in key and flag.get("defaultVariant")}
    path = written(tmp_path / "flags.json", {"flags": good})
    await penstock(server, "import", str(path), "--set", "production/shop", "--reason", "moved")
    first = await penstock(server, "export", "production/shop")
    (tmp_path / "again.json").write_text(first)
    await penstock(server, "import", str(tmp_path / "again.json"), "--set", "production/shop", "--reason", "again")
    assert await penstock(server, "export", "production/shop") == first
    await penstock(server, "import", str(tmp_path / "again.json"), "--set", "staging/shop", "--reason", "copied")
    copied = json.loads(await penstock(server, "export", "staging/shop"))["flags"]
    served = json.loads(first)["flags"]
    for flag in (*copied.values(), *served.values()):
        flag.pop("metadata")
    assert json.dumps(copied, sort_keys=True) == json.dumps(served, sort_keys=True)


async def test_references_name_the_lines_and_the_flags_that_nothing_names(server: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text('enabled("new-payment-form")\n')
    assert "app.py:1" in await penstock(server, "references", str(tmp_path))
    assert "named nowhere: never" in await penstock(server, "references", str(tmp_path), "--key", "never")


async def test_only_stale_flags_are_listed_with_the_rule_that_fired(server: str, tmp_path: Path) -> None:
    old = boolean(metadata={"owner": "team-a", "type": "experiment", "created": "2019-01-01"})
    lasting = boolean(metadata={"type": "kill-switch", "created": "2019-01-01"})
    path = written(tmp_path / "flags.json", {"flags": {"old": old, "lasting": lasting}})
    await penstock(server, "import", str(path), "--set", "production/shop", "--reason", "moved")
    said = await penstock(server, "list", "--stale")
    assert "expired since 2019-02-10" in said
    assert "team-a" in said
    assert "lasting" not in said
    await penstock(server, "archive", "production/shop/old", "off", "--reason", "gone")
    assert "production/shop/old" not in await penstock(server, "list", "--stale")


@pytest.mark.parametrize(
    ("context", "what"),
    [
        ('{"a": NaN}', "number"),
        ('{"a": 1e999}', "too large"),
        ('{"a": "\\ud800"}', "surrogate"),
        ('{"targetingKey": 5}', "must be a string"),
        ('{"a": ' + "[" * 300 + "]" * 300 + "}", "nested deeper"),
        ("[1]", "must be a JSON object"),
    ],
)
async def test_a_context_that_no_evaluation_could_take_is_refused_before_anything_is_served(
    tmp_path: Path, context: str, what: str
) -> None:
    path = written(tmp_path / "flags.json", EVERY_KIND)
    assert what in await penstock("http://unused", "serve", str(path), "--context", context, status=2)


async def test_a_few_hundred_idle_connections_do_not_use_up_the_files_that_a_shell_allows(tmp_path: Path) -> None:
    path = written(tmp_path / "flags.json", EVERY_KIND)
    serve = [sys.executable, "-m", "penstock.cli", "flags", "serve", str(path), "--ofrep-port", "0", "--sync-port", "0"]
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", 'ulimit -S -n 100 && exec "$@"', "sh", *serve, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    address = ""
    while not address:
        line = (await asyncio.wait_for(process.stderr.readline(), 60)).decode()
        assert line, "the server ended"
        address = line.split()[1] if line.startswith("OFREP") else ""
    idle = [await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2])) for _ in range(150)]
    async with httpx.AsyncClient(timeout=5) as client:
        answer = await client.post(f"{address}/ofrep/v1/evaluate/flags/bool", json={})
    assert answer.status_code == 200
    for _, writer in idle:
        writer.close()
    process.send_signal(signal.SIGTERM)
    await asyncio.wait_for(process.wait(), 10)


async def test_the_standalone_server_serves_files_and_stops_on_sigterm(tmp_path: Path) -> None:
    path = written(tmp_path / "flags.json", EVERY_KIND)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "penstock.cli", "flags", "serve", str(path), "--ofrep-port", "0", "--sync-port", "0",
        "--context", '{"tenant": "acme"}', stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    address = ""
    while not address:
        line = (await asyncio.wait_for(process.stderr.readline(), 60)).decode()
        assert line, "the server ended"
        address = line.split()[1] if line.startswith("OFREP") else ""
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{address}/ofrep/v1/evaluate/flags/tenant", json={})
    assert answer.json()["value"] is True
    process.send_signal(signal.SIGTERM)
    await asyncio.wait_for(process.wait(), 10)
    assert process.returncode == 0


async def test_a_bad_file_is_refused_with_every_problem_and_status_2(tmp_path: Path) -> None:
    path = written(tmp_path / "flags.json", {"flags": {"f": boolean(state="x"), "g": boolean(variants={})}})
    said = await penstock("http://unused", "serve", str(path), status=2)
    assert "flags.f.state" in said
    assert "flags.g.variants" in said


async def test_a_standalone_server_that_can_no_longer_follow_its_files_ends_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(_: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(Files, "follow", fails)
    options = Options([written(tmp_path / "flags.json", EVERY_KIND)], ofrep_port=0, sync_port=0)
    with pytest.raises(ZeroDivisionError, match="a defect"):
        await asyncio.wait_for(_until_stopped(options, lambda _: None), 30)
