"""Attacks by Kafka: records that others wrote, changed, moved or repeated count for nothing, and are reported."""

import base64
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from penstock.chain import Fold, Item, Record, Replica, encode, genesis
from penstock.errors import SettingsError
from penstock.events import ApprovalGranted, DeployAnnounced, PlanSubmitted
from penstock.events.cloudevents import to_kafka
from penstock.settings import Settings
from services.rollout_control.decide import decide
from services.runtime.decider.partition import Hooks, PartitionWorker
from services.runtime.kafka.reader import PublicReader
from services.runtime.kafka.seals import FRESH_MS, HEADER, NO_SEALS, Seals, seals_of
from tests.support.builders import an
from tests.support.plans import SHORT, TARGET

SEALS = Seals({"new": b"n" * 32, "old": b"o" * 32})
LOG = "rollout-log"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def record(topic: str, value: bytes, headers: Any = (), **changes: Any) -> ConsumerRecord:
    given: dict[str, Any] = {
        "topic": topic, "partition": 3, "offset": 0, "timestamp": now_ms(), "timestamp_type": 1, "key": b"k",
        "value": value, "checksum": None, "serialized_key_size": 0, "serialized_value_size": 0,
        "headers": tuple(headers),
    }  # fmt: skip
    return ConsumerRecord(**{**given, **changes})


def sealed(topic: str = "commands", value: bytes = b"v", seals: Seals = SEALS, **changes: Any) -> ConsumerRecord:
    headers = seals.seal(topic, 3, b"k", value, [("ce_id", b"1")])
    return record(topic, value, headers, **changes)


def test_a_sealed_record_counts_under_every_key_that_is_held() -> None:
    assert SEALS.problem(sealed()) is None
    assert SEALS.problem(sealed(seals=Seals({"old": b"o" * 32}))) is None


@pytest.mark.parametrize(
    "forged",
    [
        record("commands", b"v"),
        record("commands", b"v", [(HEADER, b"")]),
        record("commands", b"v", [(HEADER, b"new:1:00")]),
        record("commands", b"v", [(HEADER, b"\xff\xfe")]),
        sealed(seals=Seals({"new": b"x" * 32})),
        sealed(seals=Seals({"gone": b"n" * 32})),
        record("commands", b"w", sealed().headers),
        record("deploys", b"v", sealed().headers),
        record("commands", b"v", sealed().headers, partition=4),
        record("commands", b"v", sealed().headers, key=b"other"),
        record("commands", b"v", [("ce_actor", b"root"), *sealed().headers]),
        record("commands", b"v", [("ce_id", b"2"), *sealed().headers[1:]]),
        record("commands", b"v", [*sealed().headers, sealed().headers[-1]]),
        sealed(timestamp=now_ms() + FRESH_MS + 60_000),
        sealed(timestamp=now_ms() - FRESH_MS - 60_000),
    ],
)
def test_what_is_forged_changed_moved_or_an_old_copy_does_not_count(forged: ConsumerRecord) -> None:
    assert SEALS.problem(forged) is not None


def test_records_that_are_older_than_the_keys_count_by_the_brokers_time_only() -> None:
    since = Seals({"new": b"n" * 32}, since_ms=now_ms())
    assert since.problem(record("commands", b"v", timestamp=now_ms() - 60_000)) is None
    assert since.problem(record("commands", b"v", timestamp=now_ms() + 60_000)) is not None
    assert since.problem(record("commands", b"v", timestamp=1, timestamp_type=0)) is not None


def test_without_keys_everything_is_as_it_was() -> None:
    assert NO_SEALS.problem(record("commands", b"v")) is None
    assert NO_SEALS.seal("commands", 3, b"k", b"v", [("a", b"b")]) == [("a", b"b")]


class Worker:
    """Rollout control's worker of one partition, with keys."""

    def __init__(self) -> None:
        self.received: list[Item] = []
        self.foreign: list[ConsumerRecord] = []
        hooks = Hooks(lambda writes: None, lambda a, h: None, self.received.append, self.foreign.append)
        self.start = genesis("c", LOG, 3)
        replica = Replica(Fold(self.start), decide, "test")
        table = {LOG: LOG, "commands": "commands", "deploys": "deploys", "verdict-log": "verdict-log"}
        self.worker = PartitionWorker(LOG, replica, {"verdict-log": Fold(self.start)}, table, hooks, SEALS)

    def read(self, topic: str, value: bytes, headers: Any, seals: Seals = NO_SEALS) -> None:
        self.worker.read(record(topic, value, seals.seal(topic, 3, b"k", value, list(headers))))


@pytest.mark.parametrize(
    ("topic", "event"),
    [
        ("commands", an(ApprovalGranted, target=TARGET, actor="root", roles=["admin"])),
        ("commands", an(PlanSubmitted, target=TARGET, actor="root", roles=["admin"], plan_text=SHORT)),
        ("deploys", an(DeployAnnounced, target=TARGET, actor="root", grants=["announce", "plan"], plan_text=SHORT)),
    ],
)
def test_forged_approvals_plans_and_announcements_reach_no_decision_and_are_kept_as_dead_letters(
    topic: str, event: Any
) -> None:
    worker = Worker()
    _, value, headers = to_kafka(event, {})
    worker.read(topic, value, headers)
    (item,) = worker.received
    assert item.events == ()
    assert "seal" in item.error
    worker.received.clear()
    worker.read(topic, value, headers, SEALS)
    assert [each.type for each in worker.received[0].events] == [event.type]


@pytest.mark.parametrize("log", [LOG, "verdict-log"])
def test_a_forged_record_of_a_log_moves_no_head_and_no_state(log: str) -> None:
    worker = Worker()
    value = encode(Record(prev=worker.start, cursor={}, target="", code="1"))
    worker.read(log, value, ())
    fold = worker.worker.replica.fold if log == LOG else worker.worker.chained[log]
    assert fold.head == worker.start
    assert [each.topic for each in worker.foreign] == [log]
    worker.worker.read(record(log, value, SEALS.seal(log, 3, b"k", value, []), offset=1))
    assert fold.head != worker.start


def test_a_public_event_that_no_service_wrote_reaches_neither_dashboard_nor_webhooks(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(f"keys: [{{id: k1, key: {base64.b64encode(b'k' * 32).decode()}}}]\n")
    settings = Settings(record_keys_file=path)
    heard: list[str] = []
    reader = PublicReader(settings, ["commands"], lambda event: heard.append(event.event.type))
    _, value, headers = to_kafka(an(ApprovalGranted, target=TARGET), {})
    reader._on_records([record("commands", value, headers)])
    assert heard == []
    reader._on_records([record("commands", value, seals_of(settings).seal("commands", 3, b"k", value, list(headers)))])
    assert heard == ["approval.granted"]


@pytest.mark.parametrize("text", ["keys: []", "keys: [{id: a, key: c2hvcnQ=}]", "keys: {", "- 1", "keys: [{id: A}]"])
def test_a_file_of_weak_or_broken_keys_stops_the_service_and_repeats_no_key(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        seals_of(Settings(record_keys_file=path))
    assert "c2hvcnQ=" not in str(caught.value)


def test_a_file_may_say_since_when_records_are_sealed(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    moment = datetime.now(UTC) - timedelta(hours=1)  # noqa: TID251
    path.write_text(f"since: {moment.isoformat()}\nkeys: [{{id: k1, key: {base64.b64encode(b'k' * 32).decode()}}}]\n")
    seals = seals_of(Settings(record_keys_file=path))
    assert seals.problem(record("commands", b"v", timestamp=now_ms() - 2 * 3_600_000)) is None
    assert seals.problem(record("commands", b"v")) is not None
