"""Rollouts over windows that say more than their measures: requests, sources, lateness, resets, doubts."""

from collections.abc import Callable
from typing import Any

from penstock.events import Cohort, StageJudged, WindowClosed
from tests.support.deciders.pipeline import Pipeline
from tests.support.deciders.slice import deploy, pipeline
from tests.support.metrics.windows import moment, window
from tests.support.plans import SHORT, TARGET

HALVES = {Cohort.A: 150.0, Cohort.B: 150.0}
Told = Callable[[int], dict[str, Any]]


def told(number: int, **changes: Any) -> WindowClosed:
    """Return a calm window of 100 canary and 300 baseline requests, with what else ingestion tells."""
    calm = window(TARGET, number, moment(), canary=100, baseline=300)
    known = {
        "requests": {Cohort.CANARY: 100.0, Cohort.BASELINE: 300.0, **HALVES},
        "sources": {Cohort.CANARY: 2, Cohort.BASELINE: 6},
    }
    return calm.model_copy(update=known | changes)


def judged(told_of: Told, plan: str = SHORT, windows: int = 20) -> list[StageJudged]:
    """Return the verdicts of a rollout over such windows."""
    return [event for event in rolled_out(told_of, plan, windows).said if isinstance(event, StageJudged)]


def rolled_out(told_of: Told, plan: str = SHORT, windows: int = 20) -> Pipeline:
    world = pipeline()
    world.publish("deploys", deploy(plan))
    world.settle()
    for number in range(windows):
        world.close_window(told(number, **told_of(number)))
        world.settle()
    return world
