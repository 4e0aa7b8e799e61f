"""The end of a rollback that an earlier version could not read is taken after the upgrade: its target is free again."""

from penstock.events import RollbackExecuted, RollbackRequested
from penstock.ids import rollout_id
from services.rollout_control.decide import decide
from services.rollout_control.skipped_events import still_due
from tests.support.builders import an
from tests.support.deciders.slice import deploy
from tests.support.plans import TARGET

ROLLOUT = rollout_id("/ci", "deploy-1")
EXECUTED = an(RollbackExecuted, target=TARGET, rollout=ROLLOUT)


def test_it_is_due_while_its_rollback_is_under_way_and_only_then() -> None:
    baking = decide(TARGET, {}, deploy()).document
    assert list(still_due(baking, [EXECUTED])) == []
    request = an(RollbackRequested, target=TARGET, rollout=ROLLOUT, expected=None)
    rolling_back = decide(TARGET, baking, request).document
    assert list(still_due(rolling_back, [EXECUTED])) == [EXECUTED]
    assert list(still_due(rolling_back, [an(RollbackExecuted, target=TARGET, rollout="ro-another")])) == []
    assert list(still_due(decide(TARGET, rolling_back, EXECUTED).document, [EXECUTED])) == []
