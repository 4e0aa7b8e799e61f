"""Times that others stamp are data: the same rollout takes the same course, whatever the clock of CI says."""

from datetime import timedelta

import pytest

from penstock.errors import InvalidError
from penstock.events import DeployAnnounced, Event, from_json, to_json
from tests.support.deciders.simulation import Simulation
from tests.support.deciders.slice import deploy
from tests.support.metrics.windows import window
from tests.support.plans import SHORT, TARGET

OFFSETS = (86_400, 60, -3600, -86_400, 5 * 365 * 86_400)
SILENT = SHORT.replace("after: 1h, action: hold", "after: 30s, action: rollback")


def course(plan: str, offset: float, errors: float | None) -> list[tuple[str, str]]:
    """Return (type, time) of what is decided when a deploy is stamped so many seconds off; without errors no data."""
    simulation = Simulation()
    announced = deploy(plan)
    simulation.publish("deploys", announced.model_copy(update={"time": announced.time + timedelta(seconds=offset)}))
    for number in range(60):
        simulation.advance(1)
        if errors is not None:
            simulation.close(window(TARGET, number, announced.time, canary_errors=errors))
    decided = [event for event in simulation.published if not isinstance(event, DeployAnnounced)]
    return [(event.type, to_json(event)["time"]) for event in decided]


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("errors", [0.4, 0.01, None], ids=["failing", "well", "silent"])
def test_a_deploy_stamped_by_a_wrong_clock_is_judged_like_any_other(offset: float, errors: float | None) -> None:
    plan = SILENT if errors is None else SHORT
    expected = course(plan, 0, errors)
    ends = {0.4: "rollback.started", 0.01: "rollout.completed", None: "rollback.started"}
    assert ends[errors] in [name for name, _ in expected]
    assert course(plan, offset, errors) == expected


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
def test_a_time_outside_the_calendar_is_refused_with_its_field(time: str) -> None:
    with pytest.raises(InvalidError, match="time: is outside the years 1970 to 9000"):
        read(deploy(), time)


@pytest.mark.parametrize("time", ["8999-12-31T23:59:59Z", "1970-01-01T00:00:00Z"])
def test_the_first_and_the_last_time_that_are_read_kill_no_decider(time: str) -> None:
    simulation = Simulation()
    simulation.publish("deploys", read(deploy(), time))
    assert "stage.entered" in [event.type for event in simulation.published]


def read(event: Event, time: str) -> Event:
    """Return the event as it is read with that time."""
    return from_json(to_json(event) | {"time": time})
