"""Gate evaluation at work: it follows windows and rollouts, and says a verdict after every window of a live rollout."""

from penstock.settings import Settings
from services.runtime.decider import DeciderShell, Spec
from services.runtime.service import Clock, Service

from .decide import decide


def build(settings: Settings, clock: Clock) -> Service:
    """Return the service, not yet started."""
    return DeciderShell(Spec("gate_evaluation", decide, chained=("window-log", "rollout-log")), settings, clock)
