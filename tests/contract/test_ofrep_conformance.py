"""Our OFREP against the published OpenAPI: every answer that generated requests get must fit it."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, settings
from schemathesis import checks

from tests.support.docs.standards import FOLDER, standard
from tests.support.flags.sets import EVERY_KIND, serving_files, written

PUBLISHED = "ofrep/openapi-0.3.0.yaml"
KEYS = [*EVERY_KIND["flags"], "no-such-flag"]


def patched() -> dict[str, Any]:
    """Return the published document with its contradictions taken out.

    The value of an evaluation is `oneOf` schemas of which `codeDefaultFlag` fits everything and a whole number fits
    two, so no answer with a value can be valid: `anyOf` is meant. The list of reasons leaves out OpenFeature's
    `DEFAULT`, which every evaluator gives where the targeting decides nothing. A context without `targetingKey`, and
    none at all, is valid by the protocol's own text. Arrays are object values to every provider.
    """
    document: dict[str, Any] = yaml.safe_load(standard(PUBLISHED).read_text())
    schemas = document["components"]["schemas"]
    success = schemas["evaluationSuccess"]["allOf"]
    success[1] = {"anyOf": success[1]["oneOf"]}
    success[0]["properties"]["reason"]["enum"].append("DEFAULT")
    bulk = schemas["bulkEvaluationSuccess"]["properties"]["flags"]["items"]
    bulk["anyOf"] = bulk.pop("oneOf")
    del schemas["context"]["required"]
    for name in ("evaluationRequest", "bulkEvaluationRequest"):
        del schemas[name]["required"]
    for path in document["paths"].values():
        path["post"]["requestBody"]["required"] = False
        for parameter in path["post"].get("parameters", ()):
            if parameter.get("name") == "key":
                parameter["schema"] = {"type": "string", "enum": KEYS}
    return document


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = written(tmp_path_factory.mktemp("ofrep") / "flags.json", EVERY_KIND)
    found: list[str] = []
    up, down = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(path, found, up, down)), daemon=True)
    thread.start()
    assert up.wait(20)
    yield found[0]
    down.set()
    thread.join(20)


async def _serve(path: Path, found: list[str], up: threading.Event, down: threading.Event) -> None:
    async with serving_files(path) as served:
        found.append(f"http://127.0.0.1:{served.http.port}")
        up.set()
        await asyncio.to_thread(down.wait)


if (FOLDER / PUBLISHED).exists():
    schema = schemathesis.openapi.from_dict(patched())

    @schema.parametrize()
    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def test_every_answer_to_a_generated_request_fits_the_published_document(case: Any, address: str) -> None:
        case.call_and_validate(
            base_url=address,
            excluded_checks=[
                # The document allows no authentication to be asked for, and this server asks for none.
                checks.CHECKS.get_one("ignored_auth"),
                # Unknown words beside the context are ignored: later versions of the protocol may add some.
                checks.CHECKS.get_one("negative_data_rejection"),
                # 413 and 405 are HTTP's own.
                checks.CHECKS.get_one("unsupported_method"),
            ],
        )

else:

    def test_every_answer_to_a_generated_request_fits_the_published_document() -> None:
        standard(PUBLISHED)
