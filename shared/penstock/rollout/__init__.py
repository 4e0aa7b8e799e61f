"""The rollout state machine, for every reader of the topic `rollouts`."""

from penstock.rollout.evolve import IllegalTransitionError, evolve
from penstock.rollout.state import ENDED, LIVE, Phase, RolloutState, StageState

__all__ = ["ENDED", "LIVE", "IllegalTransitionError", "Phase", "RolloutState", "StageState", "evolve"]
