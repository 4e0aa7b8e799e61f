"""Gate evaluation at work: it follows windows and rollouts, and says a verdict after every window of a live rollout."""

from penstock.settings import Settings
from services.gate_evaluation.decide import decide
from services.runtime.decider.shell import DeciderShell, Spec
from services.runtime.process.service import Clock, Service


def build(settings: Settings, clock: Clock) -> Service:
    """Return the service, not yet started."""
    return DeciderShell(Spec("gate_evaluation", decide, chained=("window-log", "rollout-log")), settings, clock)
