"""A record of another service's log that this version cannot read: passed with its reason, its target is shown."""

import msgspec
import pytest
from aiokafka import ConsumerRecord

from penstock.chain import Accepted, Decision, Document, Fold, Record, Replica, decode, encode, genesis
from penstock.chain.record import digest
from penstock.chain.replica import Write
from penstock.events import Event, HoldRequested, to_json
from penstock.events.cloudevents import to_kafka
from services.runtime.decider.partition import Hooks, PartitionWorker
from services.runtime.process.service import Parked
from tests.support.metrics.windows import moment
from tests.unit.chain.world import reading

ONE, TWO = "test/one/flag", "test/two/flag"
OWN_START, OTHER_START = genesis("c", "rollback-log", 0), genesis("c", "rollout-log", 0)


def hold(number: int, target: str) -> HoldRequested:
    return HoldRequested(
        id=f"h{number}", source="/t", target=target, time=moment(number), actor="bob", reason="because"
    )


def count(_: str, document: Document, event: Event) -> Decision:
    return Decision({"count": document.get("count", 0) + 1, "last": event.id})


class OtherLog:
    """The log of the service that is followed."""

    def __init__(self) -> None:
        self.head, self.values = OTHER_START, list[bytes]()

    def decide(self, target: str, event: Document, schema: int = 1) -> None:
        value = encode(msgspec.structs.replace(Record(self.head, {}, target, events=(event,)), schema=schema))
        self.head = digest(value)
        self.values.append(value)


class Copy:
    """One copy of the follower; it appends to its own log at once."""

    def __init__(self, log: list[bytes]) -> None:
        self.log, self.accepted = log, list[Accepted]()
        replica = Replica(Fold(OWN_START), count, "test")
        hooks = Hooks(self._propose, lambda accepted, _: self.accepted.append(accepted), lambda _: None)
        table = {"p.rollback-log": "rollback-log", "p.rollout-log": "rollout-log", "p.commands": "commands"}
        self.worker = PartitionWorker("p.rollback-log", replica, {}, table, hooks)
        for offset, value in enumerate(log):
            self.worker.fold(offset, value, {})
        self.position = replica.fold.cursor.get("rollout-log")
        missed = dict(self.worker.unreadable.get("rollout-log", {}))
        head = self.position.head if self.position is not None and self.position.head else OTHER_START
        self.read = self.position.next if self.position is not None else 0
        self.worker.chained["rollout-log"] = Fold(head, self.read, parked=missed, stateful=False)
        replica.resync()
        self.worker.deciding = True

    def follow(self, other: OtherLog) -> None:
        for offset in range(self.read, len(other.values)):
            self.worker.read(record("p.rollout-log", offset, other.values[offset]))
            self.worker.pump()
        self.read = len(other.values)

    def _propose(self, proposals: list[Write]) -> None:
        for proposal in proposals:
            self.log.append(proposal.value)
            self.worker.fold(len(self.log) - 1, proposal.value, {})

    @property
    def documents(self) -> dict[str, Document]:
        return self.worker.replica.fold.documents

    @property
    def errors(self) -> list[str]:
        return [one.record.error for one in self.accepted if one.record is not None and one.record.error]


def record(topic: str, offset: int, value: bytes, headers: tuple[tuple[str, bytes], ...] = ()) -> "ConsumerRecord":
    return ConsumerRecord(topic, 0, offset, 0, 1, b"", value, None, 0, len(value), headers)


def newer() -> OtherLog:
    other = OtherLog()
    other.decide(ONE, to_json(hold(0, ONE)))
    other.decide(ONE, to_json(hold(1, ONE)), schema=2)
    other.decide(TWO, to_json(hold(2, TWO)))
    other.decide(ONE, to_json(hold(3, ONE)))
    return other


def unknown() -> OtherLog:
    other = OtherLog()
    other.decide(ONE, to_json(hold(0, ONE)))
    other.decide(ONE, {**to_json(hold(1, ONE)), "type": "hold.reconsidered"})
    other.decide(TWO, to_json(hold(2, TWO)))
    other.decide(ONE, to_json(hold(3, ONE)))
    return other


@pytest.mark.parametrize("other", [newer(), unknown()], ids=["a newer body", "an event of an unknown type"])
def test_it_is_passed_with_its_reason_and_its_bytes_and_loses_nothing_beside_it(other: OtherLog) -> None:
    copy = Copy([])
    copy.follow(other)
    assert copy.documents == {ONE: {"count": 1, "last": "h0"}, TWO: {"count": 1, "last": "h2"}}
    assert len(copy.errors) == 2
    assert all(ONE in error and "rollout-log" in error and "offset 1" in error for error in copy.errors)
    passed = [one.record for one in copy.accepted if one.record is not None and one.record.error]
    assert [taken.offset for one in passed for taken in one.inputs] == [1, 3]
    assert all("raw" in document for one in passed for taken in one.inputs for document in taken.events)
    assert copy.worker.replica.fold.cursor["rollout-log"].next == 4


@pytest.mark.parametrize("other", [newer(), unknown()], ids=["a newer body", "an event of an unknown type"])
def test_its_target_is_shown_as_parked_and_a_restart_does_not_forget_it(other: OtherLog) -> None:
    copy = Copy([])
    copy.follow(other)
    assert list(copy.worker.parked()) == [Parked(ONE, "rollout-log", 1)]
    again = Copy(copy.log)
    assert list(again.worker.parked()) == [Parked(ONE, "rollout-log", 1)]
    other.decide(ONE, to_json(hold(4, ONE)))
    again.follow(other)
    assert again.documents[ONE]["count"] == 1
    assert any("offset 1" in error for error in again.errors)


def test_what_a_newer_version_can_read_of_what_was_passed_is_given_to_it_in_order_at_its_restart() -> None:
    other = newer()
    copy = Copy([])
    copy.follow(other)
    assert copy.worker.skipped == {}, "nothing is late to who cannot read it"
    with reading(2):
        again = Copy(copy.log)
        assert [event.id for event in again.worker.skipped[ONE]] == ["h1", "h3"]
        assert list(again.worker.parked()) == []
        again.worker.decide_skipped(lambda document, events: events[:1] if document["last"] == "h0" else ())
        again.worker.pump()
        assert again.documents[ONE] == {"count": 2, "last": "h1"}
        assert again.worker.skipped == {}


def test_who_still_cannot_read_it_takes_nothing_of_what_was_passed_behind_it() -> None:
    copy = Copy([])
    copy.follow(newer())
    again = Copy(copy.log)
    again.worker.decide_skipped(lambda _, events: events)
    again.worker.pump()
    assert again.documents[ONE]["count"] == 1


def test_other_inputs_of_its_target_are_decided_as_ever() -> None:
    copy = Copy([])
    copy.follow(newer())
    _, value, headers = to_kafka(hold(9, ONE))
    copy.worker.read(record("p.commands", 0, value, tuple(headers)))
    copy.worker.pump()
    assert copy.documents[ONE] == {"count": 2, "last": "h9"}


def test_a_newer_record_that_only_moves_a_cursor_parks_nothing() -> None:
    other = OtherLog()
    value = encode(msgspec.structs.replace(Record(other.head, {}, ""), schema=2))
    other.head = digest(value)
    other.values.append(value)
    other.decide(ONE, to_json(hold(1, ONE)))
    copy = Copy([])
    copy.follow(other)
    assert list(copy.worker.parked()) == []
    assert copy.documents == {ONE: {"count": 1, "last": "h1"}}
    assert decode(copy.log[0]).record is not None
