"""A bug in a decider stops its copy in front of the input, and passes nothing."""

import pytest

from penstock.chain import Decision, Document, Fold, Item, Replica, decode
from penstock.events import Event
from tests.unit.chain.world import START, TARGETS, decide, hold


def test_the_input_that_a_decider_fails_on_is_not_passed_by_those_behind_it() -> None:
    broken = [True]

    def failing(target: str, document: Document, event: Event) -> Decision:
        if broken[0] and event.id == "3":
            raise KeyError("a bug")
        return decide(target, document, event)

    copy = Replica(Fold(START), failing, "test")
    for offset in range(3):
        copy.receive(Item("a", offset, TARGETS[0], (hold(offset * 3, TARGETS[0], offset),)))
    for _ in range(2):
        with pytest.raises(KeyError):
            copy.propose()
    broken[0] = False
    copy.resync()
    values = [proposal.value for proposal in copy.propose()]
    assert [taken.offset for value in values for taken in decode(value).record.inputs] == [0, 1, 2]  # type: ignore[union-attr]
