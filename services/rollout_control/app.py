"""Rollout control at work: deploys, commands, verdicts, and what flag control and rollback execution report."""

from penstock.settings import Settings
from services.rollout_control.decide import decide
from services.rollout_control.skipped_events import still_due
from services.runtime.decider.shell import DeciderShell, Spec
from services.runtime.process.service import Clock, Service


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
