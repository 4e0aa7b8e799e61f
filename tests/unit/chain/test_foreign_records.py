"""What another program writes into a log chains to nothing: every reader passes it, and nothing behind it is lost."""

import pytest

from penstock.chain import Fold, Item, Record, Replica, assemble, digest_of, disassemble, encode, genesis
from penstock.chain.record import digest
from penstock.errors import CorruptError
from penstock.replay.history import History, Line, fold_history
from tests.unit.chain.world import START, TARGETS, decide, hold

FOREIGN = [b"", b"\xff\x00", b"null", b"[1]", b'{"level":"info","msg":"of another program"}', b'{"prev":1}']


def record(prev: str, number: int) -> bytes:
    event = hold(number, TARGETS[0], number)
    return encode(Record(prev, {}, TARGETS[0], events=({"id": event.id},), patch={}, state=digest_of({})))


def chain(count: int) -> list[bytes]:
    values: list[bytes] = []
    for number in range(count):
        values.append(record(digest(values[-1]) if values else START, number))
    return values


@pytest.mark.parametrize("foreign", FOREIGN)
def test_it_is_passed_and_the_records_around_it_count(foreign: bytes) -> None:
    first, second = chain(2)
    fold = Fold(START, stateful=False)
    accepted = [fold.offer(offset, value) for offset, value in enumerate([first, foreign, second])]
    assert [one is not None for one in accepted] == [True, False, True]
    assert list(fold.foreign) == [1]
    assert fold.next_offset == 3


def test_a_record_that_chains_to_what_was_passed_stops_its_reader() -> None:
    newer = b'{"an":"envelope of the future"}'
    fold = Fold(START, stateful=False)
    fold.offer(0, newer)
    with pytest.raises(CorruptError, match="offset 1 chains to one before it"):
        fold.offer(1, record(digest(newer), 1))


def test_however_much_of_it_there_is_the_fold_stays_small() -> None:
    fold = Fold(START, stateful=False)
    for offset in range(5000):
        fold.offer(offset, b"noise")
    assert len(fold.foreign) == 1000
    assert fold.offer(5000, chain(1)[0]) is not None


def test_a_copy_whose_own_log_it_stands_in_decides_on_and_restarts() -> None:
    copy, log = Replica(Fold(START), decide, "test"), list[bytes]()
    for number in (0, 1):
        copy.receive(Item("a", number, TARGETS[0], (hold(number * 3, TARGETS[0], number),)))
        log += [b"noise", *(proposal.value for proposal in copy.propose())]
        while copy.fold.next_offset < len(log):
            copy.accept(copy.fold.next_offset, log[copy.fold.next_offset])
    assert copy.fold.cursor["a"].next == 2
    again = Fold(START)
    for offset, value in enumerate(log):
        again.offer(offset, value)
    assert again.documents == copy.fold.documents
    assert again.head == copy.fold.head


def test_among_snapshots_it_belongs_to_no_generation() -> None:
    fold = Fold(START, 7, {}, {TARGETS[0]: {"value": 1}})
    values = [value for _, value in disassemble(fold, 4)]
    kept = assemble([b"noise", *values, b"{}x"])
    assert kept is not None
    assert kept.fold.documents == fold.documents
    assert assemble([values[0][:-3], *values[1:]]) is None


def test_a_replay_passes_it_too_and_still_finds_bytes_that_were_changed() -> None:
    def steps(log: list[bytes]) -> list[int]:
        lines = tuple(Line("gate", offset, value) for offset, value in enumerate(log))
        return [step.accepted.offset for step in fold_history(History("c", "", 0, lines))["gate"]]

    first = record(genesis("c", "gate", 0), 0)
    second = record(digest(first), 1)
    assert steps([first, b"noise", second]) == [0, 2]
    with pytest.raises(CorruptError, match="bytes were changed or removed"):
        steps([first[:-9], second])


def test_a_record_nested_beyond_all_reason_is_a_foreign_one() -> None:
    fold = Fold(START)
    for offset, value in enumerate((b'{"x":' * 5000, b"[" * 100_000, b'{"prev":' + b"[" * 5000)):
        assert fold.offer(offset, value) is None
    assert set(fold.foreign) == {0, 1, 2}
    assert fold.head == START
