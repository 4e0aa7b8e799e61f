"""A rollback that an earlier version could not read is applied after the upgrade, if clients are served its rollout."""

from penstock.events import RollbackStarted, RolloutSuperseded, StageEntered
from services.flag_control.decide import decide
from services.flag_control.flag.skipped_events import still_due
from tests.support.builders import an
from tests.support.plans import TARGET

ENTERED = an(StageEntered, target=TARGET, rollout="ro-1", exposure=0.25)
STARTED = an(RollbackStarted, target=TARGET, rollout="ro-1")


def test_what_takes_the_served_rollout_back_is_due_until_it_is_applied() -> None:
    exposed = decide(TARGET, {}, ENTERED).document
    assert list(still_due(exposed, [STARTED])) == [STARTED]
    assert list(still_due(decide(TARGET, exposed, STARTED).document, [STARTED])) == []


def test_what_would_raise_the_exposure_or_is_of_another_rollout_is_not() -> None:
    exposed = decide(TARGET, {}, ENTERED).document
    raising = an(StageEntered, target=TARGET, rollout="ro-1", exposure=0.75)
    other = an(RolloutSuperseded, target=TARGET, rollout="ro-0")
    assert list(still_due(exposed, [raising, other])) == []
