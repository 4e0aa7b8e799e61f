"""The rollout state machine, for whoever reads the topic `rollouts`."""

from .evolve import IllegalTransitionError, evolve
from .state import ENDED, LIVE, Phase, RolloutState, StageState

__all__ = ["ENDED", "LIVE", "IllegalTransitionError", "Phase", "RolloutState", "StageState", "evolve"]
