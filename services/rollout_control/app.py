"""Rollout control at work: deploys, commands, verdicts, and what flag control and rollback execution report."""

from penstock.settings import Settings
from services.runtime.decider import DeciderShell, Spec
from services.runtime.service import Clock, Service

from .decide import decide
from .late import still_due


def build(settings: Settings, clock: Clock) -> Service:
    """Return the service, not yet started."""
    spec = Spec(
        "rollout_control",
        decide,
        plain=("deploys", "commands"),
        chained=("verdict-log", "flag-log", "rollback-log"),
        still_due=still_due,
    )
    return DeciderShell(spec, settings, clock)
