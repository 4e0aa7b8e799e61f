"""The slice's deciders, ready to be chained in memory."""

from collections.abc import Callable
from datetime import datetime

from penstock.events import DeployAnnounced, Release
from services.gate_evaluation.decide import decide as judge
from services.rollout_control.decide import decide as control
from tests.support.deciders.pipeline import Node, Pipeline
from tests.support.metrics.windows import moment
from tests.support.plans import SHORT, TARGET


def pipeline(*more: Node, clock: Callable[[], datetime] | None = None) -> Pipeline:
    """Return gate evaluation and rollout control, and `more`."""
    return Pipeline(
        Node("gate_evaluation", "verdict-log", judge, (), ("window-log", "rollout-log")),
        Node(
            "rollout_control",
            "rollout-log",
            control,
            ("deploys", "commands"),
            ("verdict-log", "flag-log", "rollback-log"),
        ),
        *more,
        clock=clock,
    )


def deploy(plan: str | None = SHORT, version: str = "2", number: int = 1, second: float = 0.0) -> DeployAnnounced:
    """Return a release announced by CI."""
    return DeployAnnounced(
        id=f"deploy-{number}",
        source="/ci",
        target=TARGET,
        time=moment(second),
        release=Release(service="shop", version=version, author="alice"),
        plan_text=plan,
        actor="ci",
        grants=("announce", "plan"),
    )
