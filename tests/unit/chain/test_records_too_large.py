"""An input whose record no broker would take is passed with its reason; what stands behind it is decided."""

from datetime import timedelta

from penstock.chain import Decision, Document, Fold, Item, Record, Replica, decode
from penstock.chain.record import LARGEST
from penstock.chain.replica import OBSERVATION, TICK
from penstock.events import Event, TimerFired
from tests.unit.chain.world import EPOCH, START, TARGETS, hold

TARGET = TARGETS[0]


def keep(_: str, document: Document, event: Event) -> Decision:
    """Every event goes into the state; a timer fires into a state that no record can hold."""
    text = "x" * LARGEST if isinstance(event, TimerFired) else getattr(event, "reason", "")
    return Decision({**document, event.id: text, "timers": {"tick": EPOCH.isoformat()}})


def item(number: int, reason: str = "because", source: str = "a") -> Item:
    event = hold(number, TARGET, number).model_copy(update={"reason": reason})
    return Item(source, -1 if source == OBSERVATION else number, TARGET, (event,))


def timer() -> Item:
    event = TimerFired(id="fired", source="/t", target=TARGET, time=EPOCH, timer="tick", due=EPOCH + timedelta(0))
    return Item(TICK, -1, TARGET, (event,))


def written(copy: Replica) -> list[Record]:
    """Let the log take everything that the copy proposes; return the records."""
    records = []
    while proposals := copy.propose():
        for proposal in proposals:
            assert len(proposal.value) <= LARGEST
            accepted = copy.accept(copy.fold.next_offset, proposal.value)
            assert accepted is not None
            assert accepted.record is not None
            records.append(accepted.record)
    return records


def test_it_is_passed_with_its_size_and_the_state_is_that_of_the_others() -> None:
    copy = Replica(Fold(START), keep, "test")
    for one in (item(0), item(1, "x" * LARGEST), item(2)):
        copy.receive(one)
    records = written(copy)
    assert [record.inputs[0].offset for record in records] == [0, 1, 2]
    assert [bool(record.error) for record in records] == [False, True, False]
    assert f"at most {LARGEST} are taken" in records[1].error
    assert set(copy.fold.documents[TARGET]) == {"0", "2", "timers"}
    assert copy.fold.cursor["a"].next == 3


def test_rubbish_that_is_too_large_to_be_kept_in_the_log_is_passed_with_both_reasons() -> None:
    copy = Replica(Fold(START), keep, "test")
    copy.receive(Item("a", 0, "", (), error="it is not JSON", raw=b"\xff" * LARGEST))
    copy.receive(item(1))
    first, second = written(copy)
    assert first.error.startswith("it is not JSON; the record would be ")
    assert first.inputs[0].events[0]["unreadable"] is True
    assert not second.error


def test_what_the_brokers_refuse_although_it_is_smaller_is_passed_from_then_on() -> None:
    copy = Replica(Fold(START), keep, "test")
    copy.receive(item(0, "x" * 100_000))
    copy.receive(item(1))
    refused = copy.propose()[0]
    copy.limit_size(len(refused.value))
    copy.resync()
    first, second = written(copy)
    assert first.error
    assert not second.error


def test_a_timer_whose_record_would_be_too_large_is_let_go_and_other_inputs_are_decided() -> None:
    copy = Replica(Fold(START), keep, "test")
    copy.receive(item(0))
    written(copy)
    copy.receive(timer())
    copy.receive(item(1, "x" * LARGEST, OBSERVATION))
    copy.receive(item(2))
    assert [(record.inputs[0].source, bool(record.error)) for record in written(copy)] == [
        (OBSERVATION, True),
        ("a", False),
    ]


def test_a_record_that_only_says_so_claims_no_state() -> None:
    copy = Replica(Fold(START), keep, "test")
    copy.receive(item(0, "x" * LARGEST))
    (proposal,) = copy.propose()
    record = decode(proposal.value).record
    assert record is not None
    assert record.passes_only
