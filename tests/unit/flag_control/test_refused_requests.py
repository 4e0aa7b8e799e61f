"""A request that is refused is answered with 409, the reason, and what decides now who is served which variant."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from penstock.chain import Document
from penstock.chain.document import canonical
from penstock.events import (
    ArchiveRequested,
    Event,
    FlagRequest,
    FlagSubmitted,
    RollbackStarted,
    RolloutAnnounced,
    StageEntered,
    to_json,
)
from services.flag_control.decide import decide
from services.flag_control.fallback.kill_spool import KillSpool
from services.flag_control.operations import FlagOperations
from services.flag_control.publisher import Publisher
from services.flag_control.serving.store import FlagStore
from services.flag_control.serving.usage import Usage
from tests.support.builders import an
from tests.support.flags.operations import operations_on

TARGET = "production/checkout/new-payment-form"
ROLLOUT = "ro-7"


class DecidingLog:
    """Decides each request when it is submitted, and answers it."""

    def __init__(self, folder: Path, *events: Event) -> None:
        self.document: Document = {}
        store = FlagStore()
        self.publisher = Publisher(store, lambda _: self.document)
        self.operations: FlagOperations = operations_on(
            self, KillSpool(folder / "kills"), store, self.publisher, Usage(lambda: 1.0)
        )
        for event in events:
            self.decide(event)

    def ready(self) -> bool:
        return True

    def submit(self, request: FlagRequest, after: float = 0.0) -> None:
        asyncio.get_running_loop().call_soon(self.decide, request)

    def decide(self, event: Event) -> None:
        decision = decide(TARGET, self.document, event)
        self.document = decision.document
        self.publisher.apply_accepted(TARGET, frozenset({event.id}))
        self.operations.answer((event.id,), [to_json(fact) for fact in decision.events])


ANNOUNCED = an(RolloutAnnounced, id="announced", target=TARGET, rollout=ROLLOUT)
HALF = an(StageEntered, id="half", target=TARGET, rollout=ROLLOUT, exposure=0.5, audience={})
BACK = an(RollbackStarted, id="back", target=TARGET, rollout=ROLLOUT)
ARCHIVE = an(ArchiveRequested, id="archive", target=TARGET, variant="on")


@pytest.mark.parametrize(
    ("history", "version", "state"),
    [
        ((ANNOUNCED, HALF), 2, {"live": True, "rolled_back": False, "exposure": 0.5, "rollout": ROLLOUT}),
        ((ANNOUNCED, HALF, BACK), 3, {"live": False, "rolled_back": True, "exposure": 0.0, "rollout": ROLLOUT}),
        ((ANNOUNCED,), 1, {"live": True, "rolled_back": False, "exposure": 0.0, "rollout": None}),
    ],
)
async def test_a_refusal_names_the_rollout_that_decides_and_what_it_exposes(
    tmp_path: Path, history: tuple[Event, ...], version: int, state: dict[str, Any]
) -> None:
    log = DecidingLog(tmp_path, *history)
    status, answer = await log.operations.ask(ARCHIVE)
    assert status == 409
    assert (answer["reason"], answer["request"]) == ("not_allowed", ARCHIVE.id)
    assert "roll" in answer["error"]
    assert answer["state"] == {**state, "version": version, "serves": "off"}
    assert canonical(answer), "the answer is JSON"


async def test_a_refusal_of_an_archived_flag_names_the_variant_that_it_keeps(tmp_path: Path) -> None:
    definition = {"variants": {"off": 0, "on": 1}, "off": "off", "on": "on"}
    submitted = an(FlagSubmitted, id="made", target=TARGET, definition=definition)
    log = DecidingLog(tmp_path, submitted, ARCHIVE)
    status, answer = await log.operations.ask(submitted.model_copy(update={"id": "again"}))
    assert (status, answer["state"]["serves"]) == (409, "on")
    assert (answer["state"]["live"], answer["state"]["rolled_back"]) == (False, False)
