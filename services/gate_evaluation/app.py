"""The service: follows windows and rollouts, publishes a verdict after every window of a live rollout."""

from functools import partial

from penstock.settings import Settings
from services.gate_evaluation.decide import decide
from services.gate_evaluation.judge_cache import JudgeCache
from services.runtime.decider.shell import DeciderShell, Spec
from services.runtime.process.service import Clock, Service


def build(settings: Settings, clock: Clock) -> Service:
    """Return the service, not yet started."""
    cached = partial(decide, judges=JudgeCache())
    return DeciderShell(Spec("gate_evaluation", cached, chained=("window-log", "rollout-log")), settings, clock)
