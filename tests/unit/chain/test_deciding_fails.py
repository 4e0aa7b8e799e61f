"""An input that the decider fails on is skipped with its reason; a version that fails on many stops in front of one."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.chain import Decision, Document, Fold, Item, Record, Replica, decode, digest_of
from penstock.chain.failures import FAULT, UNSEALED, Failures
from penstock.chain.replica import OBSERVATION, TICK
from penstock.errors import FaultyVersionError, RefusedError
from penstock.events import Event
from tests.unit.chain.world import START, TARGETS, decide, hold

ONE = TARGETS[0]
BUGS: tuple[Callable[[], object], ...] = (
    lambda: {}["no such key"],
    lambda: 1 / 0,
    lambda: "ü".encode("ascii"),
    lambda: (_ for _ in ()).throw(RecursionError("maximum recursion depth exceeded")),
    lambda: (_ for _ in ()).throw(OverflowError("date value out of range")),
    lambda: (_ for _ in ()).throw(RefusedError("not now")),
    lambda: math.sqrt(-1),
)


def failing_on(*ids: str, bug: Callable[[], object] = BUGS[0]) -> Callable[[str, Document, Event], Decision]:
    def decide_or_fail(target: str, document: Document, event: Event) -> Decision:
        if event.id in ids:
            bug()
        return decide(target, document, event)

    return decide_or_fail


def item(number: int, source: str = "a", target: str = ONE) -> Item:
    offset = number if source == "a" else -1
    return Item(source, offset, target, (hold(number * 3, target, number),))


def settled(replica: Replica, start: int = 0) -> list[Record]:
    """Return the records of what waits, folded as a log would."""
    records = []
    while proposals := replica.propose():
        for proposal in proposals:
            assert replica.accept(replica.fold.next_offset, proposal.value) is not None
            record = decode(proposal.value).record
            assert record is not None
            records.append(record)
    return records


def settled_until_it_stops(replica: Replica) -> list[bytes]:
    values = [proposal.value for proposal in replica.propose()]
    for value in values:
        assert replica.accept(replica.fold.next_offset, value) is not None
    return values


@given(st.lists(st.booleans(), max_size=40), st.sampled_from(BUGS))
def test_whatever_is_raised_for_an_input_skips_that_input_alone(bad: list[bool], bug: Callable[[], object]) -> None:
    ids = [str(number * 3) for number, wrong in enumerate(bad) if wrong]
    replica, good = Replica(Fold(START), failing_on(*ids, bug=bug), "1"), Replica(Fold(START), decide, "1")
    for number, wrong in enumerate(bad):
        replica.receive(item(number))
        if not wrong:
            good.receive(item(number))
    records = settled(replica)
    settled(good)
    skipped = {taken.offset for record in records if record.error for taken in record.inputs}
    assert skipped == {number for number, wrong in enumerate(bad) if wrong}
    assert replica.fold.documents == good.fold.documents
    assert all(len(taken.events) == 1 for record in records for taken in record.inputs), "the input itself is kept"


def test_the_reason_names_the_error_the_place_and_the_version() -> None:
    replica = Replica(Fold(START), failing_on("0", bug=BUGS[1]), "9.9")
    replica.receive(item(0))
    (record,) = settled(replica)
    assert record.error.startswith(f"{FAULT}ZeroDivisionError: division by zero (version 9.9, at ")
    assert "test_deciding_fails.py" in record.error


@pytest.mark.parametrize("wrong", [math.nan, math.inf, None, object(), {"inner": math.nan}, 2**70, "\ud800"])
def test_a_decision_that_cannot_be_written_skips_its_input(wrong: object) -> None:
    def decide_it(target: str, document: Document, event: Event) -> Decision:
        return Decision({"n": wrong if event.id == "0" else 1})

    replica = Replica(Fold(START), decide_it, "1")
    for number in range(2):
        replica.receive(item(number))
    records = settled(replica)
    assert records[-1].patch == {"n": 1}
    for record in records[:-1]:
        assert record.error or digest_of(replica.fold.documents[ONE])


def test_a_timer_that_the_decider_fails_on_is_recorded_once() -> None:
    replica = Replica(Fold(START), failing_on("9"), "1")
    written = []
    for _ in range(5):
        replica.receive(item(3, TICK))
        written += settled(replica)
    assert len(written) == 1
    assert written[0].inputs[0].source == TICK


def test_an_observation_that_the_decider_fails_on_is_recorded_and_what_follows_is_decided() -> None:
    replica = Replica(Fold(START), failing_on("9"), "1")
    replica.receive(item(3, OBSERVATION))
    replica.receive(item(4))
    assert [bool(record.error) for record in settled(replica)] == [True, False]


def test_a_version_that_fails_on_too_many_inputs_stops_in_front_of_the_next_and_skips_none_behind_it() -> None:
    ids = [str(number * 3) for number in range(30)]
    replica = Replica(Fold(START), failing_on(*ids), "1", failures=Failures("1", most=10))
    for number in range(30):
        replica.receive(item(number))
    assert len(settled_until_it_stops(replica)) == 10, "what it skips is on record before it stops"
    for _ in range(3):
        with pytest.raises(FaultyVersionError, match="more than it decided, now on a-0 at offset 10"):
            replica.propose()
    replica.resync()
    with pytest.raises(FaultyVersionError):
        replica.propose()
    assert replica.waiting == 20, "nothing is lost: another version decides them"


def test_after_a_restart_the_same_version_skips_no_more_and_another_one_does() -> None:
    failing = failing_on(*(str(number * 3) for number in range(30)))
    first, log = Replica(Fold(START), failing, "1", failures=Failures("1", most=3)), list[Record]()
    for number in range(3):
        first.receive(item(number))
        log += settled(first)
    for code, stops in (("1", True), ("2", False)):
        failures = Failures(code, most=3)
        for record in log:
            failures.restore(record, 0)
        again = Replica(Fold(START), failing, code, failures=failures)
        again.receive(item(3))
        if stops:
            with pytest.raises(FaultyVersionError):
                again.propose()
        else:
            assert len(settled(again)) == 1


def test_failures_that_successes_outweigh_stop_nobody_and_half_of_all_inputs_does() -> None:
    for every, stops in ((3, False), (1, True)):
        failures = Failures("1", most=10)
        try:
            for offset in range(600):
                if offset % every == 0:
                    failures.count_failure("a", 0, offset, "because")
                else:
                    failures.count_success()
        except FaultyVersionError:
            assert stops
        else:
            assert not stops


def test_an_input_that_is_decided_again_after_a_resync_is_counted_once() -> None:
    failures = Failures("1", most=2)
    for _ in range(50):
        failures.count_failure("a", 0, 7, "because")


def test_rubbish_of_outsiders_counts_for_nothing_and_what_only_we_write_does() -> None:
    failures = Failures("1", most=2, ours=frozenset({"commands"}))
    for offset in range(50):
        failures.count_unreadable("deploy-intake", 0, offset, "it is not JSON")
    for offset in range(2):
        failures.count_unreadable("commands", 0, offset, "it is not JSON")
    with pytest.raises(FaultyVersionError):
        failures.count_unreadable("commands", 0, 2, "it is not JSON")


def test_records_whose_seal_shows_another_writer_stop_no_version_neither_at_once_nor_after_a_restart() -> None:
    ours = frozenset({"commands"})
    replica = Replica(Fold(START), decide, "1", failures=Failures("1", most=2, ours=ours))
    for offset in range(50):
        replica.receive(Item("commands", offset, "", (), error=f"{UNSEALED}it carries no seal", raw=b"{}"))
    replica.receive(item(50))
    log = settled(replica)
    assert [bool(record.error) for record in log] == [True] * 50 + [False], (
        "each is a dead letter, and what follows is decided"
    )
    again = Failures("1", most=2, ours=ours)
    for record in log[:-1]:
        again.restore(record, 0)
    for offset in range(2):
        again.count_failure("commands", 0, offset, "because")
