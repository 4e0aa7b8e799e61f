"""A target behind a record that this version cannot read: what is said of it, and what the next version makes of it."""

import pytest

from penstock.chain import Fold, Item, Record, Replica, decode, digest_of, encode
from penstock.chain.replica import OBSERVATION, TICK
from penstock.errors import CorruptError
from tests.unit.chain.world import START, TARGETS, Newer, decide, hold, reading

TARGET = TARGETS[0]


def input_number(offset: int, source: str = "a") -> Item:
    return Item(source, offset, TARGET, (hold(offset * 3, TARGET, offset),))


def log_with_a_newer_record() -> list[bytes]:
    """Input 0 decided by this version, input 1 by the next."""
    log: list[bytes] = []
    for offset, kind in enumerate((Replica, Newer)):
        with reading(2):
            copy = kind(Fold(START), decide, "test")
            for place, value in enumerate(log):
                copy.accept(place, value)
            copy.resync()
            copy.receive(input_number(offset))
            log.extend(proposal.value for proposal in copy.propose())
    return log


def restored(log: list[bytes]) -> Replica:
    copy = Replica(Fold(START), decide, "test")
    for offset, value in enumerate(log):
        copy.accept(offset, value)
    copy.resync()
    return copy


def test_an_input_of_a_parked_target_is_passed_whole_with_its_reason_and_no_word_on_the_state() -> None:
    copy = restored(log_with_a_newer_record())
    assert copy.fold.parked == {TARGET: 1}
    copy.receive(input_number(2))
    (proposal,) = copy.propose()
    record = decode(proposal.value).record
    assert record is not None
    assert "parked" in record.error
    assert record.inputs[0].offset == 2
    assert record.inputs[0].events[0]["id"] == "6"
    assert (record.state, record.patch, record.events) == ("", {}, ())


def test_the_version_that_can_read_a_parked_target_goes_on_from_its_state() -> None:
    log = log_with_a_newer_record()
    copy = restored(log)
    copy.receive(input_number(2))
    log.extend(proposal.value for proposal in copy.propose())
    with reading(2):
        newer = restored(log)
    assert newer.fold.next_offset == 3
    assert newer.fold.head == decode(log[2]).digest
    with reading(2):
        assert newer.fold.documents == restored(log[:2]).fold.documents
    assert newer.fold.cursor["a"].next == 3


def test_a_timer_of_a_parked_target_leaves_no_record_for_it_passes_nothing() -> None:
    copy = restored(log_with_a_newer_record())
    copy.receive(Item(TICK, -1, TARGET, (hold(9, TARGET, 9),)))
    assert copy.propose() == []
    copy.receive(Item(OBSERVATION, -1, TARGET, (hold(9, TARGET, 9),)))
    assert len(copy.propose()) == 1


def test_input_that_cannot_be_read_says_so_although_its_target_is_parked() -> None:
    copy = restored(log_with_a_newer_record())
    copy.receive(Item("a", 2, TARGET, (), error="not an event", raw=b"\xff"))
    record = decode(copy.propose()[0].value).record
    assert record is not None
    assert record.error == "not an event"
    assert record.inputs[0].events == ({"raw": "/w=="},)


@pytest.mark.parametrize(
    "record",
    [
        Record(START, {}, TARGET, patch={"value": 2}, error="an error, and yet a change"),
        Record(START, {}, TARGET, events=({"id": "x"},), error="an error, and yet a decision"),
        Record(START, {}, TARGET, patch={"value": 2}),
        Record(START, {}, TARGET),
        Record(START, {}, TARGET, error="an error", state=digest_of({"value": 2})),
    ],
    ids=lambda record: f"{record.error or 'no error'}, patch {record.patch}, state {record.state[:4]}",
)
def test_only_a_record_that_changes_and_decides_nothing_may_leave_out_the_state(record: Record) -> None:
    with pytest.raises(CorruptError, match="states another state"):
        Fold(START).offer(0, encode(record))
