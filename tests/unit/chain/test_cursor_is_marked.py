"""How far inputs have changed nothing is recorded now and then, so that a restart does not need what is long gone."""

from penstock.chain import Fold, Item, Replica, decode
from tests.unit.chain.world import START, TARGETS, decide, hold


def test_a_mark_records_the_cursor_once_for_inputs_that_changed_nothing() -> None:
    copy = Replica(Fold(START), decide, "test")
    assert copy.propose(mark=True) == []
    copy.receive(Item("a", 0, TARGETS[0], (hold(2, TARGETS[0], 0),)))
    assert copy.propose() == []
    (proposal,) = copy.propose(mark=True)
    record = decode(proposal.value).record
    assert record is not None
    assert (record.target, record.cursor["a"].next) == ("", 1)
    copy.accept(0, proposal.value)
    assert copy.propose(mark=True) == []
