"""A rollback that an earlier version could not read is executed after the upgrade, unless it is over."""

from penstock.chain import Document
from penstock.events import Event, RollbackCompleted, RollbackStarted
from services.rollback_execution.decide import decide
from services.rollback_execution.skipped_events import still_due
from tests.support.builders import an
from tests.support.deciders.rollbacks import announced, started
from tests.support.plans import SHORT, TARGET


def after(*events: Event) -> Document:
    document: Document = {}
    for event in events:
        document = decide(TARGET, document, event).document
    return document


def test_it_is_due_while_its_rollout_is_the_present_one_and_is_begun_by_being_taken() -> None:
    document, rollback = after(announced(SHORT)), started()
    assert list(still_due(document, [rollback])) == [rollback]
    running = decide(TARGET, document, rollback).document
    assert running != document
    assert list(still_due(running, [rollback])) == []


def test_one_that_was_completed_or_belongs_to_an_older_rollout_is_not() -> None:
    document, rollback = after(announced(SHORT)), started()
    completed = an(RollbackCompleted, target=TARGET, rollout=rollback.rollout)
    assert list(still_due(document, [rollback, completed])) == []
    older = an(RollbackStarted, target=TARGET, rollout="ro-another")
    assert list(still_due(document, [older])) == []
