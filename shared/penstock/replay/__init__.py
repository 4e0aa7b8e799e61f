"""Replay: decide a rollout again from its recorded inputs and compare with the record. Pure; it emits nothing."""

from penstock.replay.decide import Difference, Report, replay
from penstock.replay.history import DECIDED_BY, LOG_OF_WINDOWS, History, Line, Step, fold_history, select
from penstock.replay.whatif import Departure, Turn, what_if

__all__ = [
    "DECIDED_BY",
    "LOG_OF_WINDOWS",
    "Departure",
    "Difference",
    "History",
    "Line",
    "Report",
    "Step",
    "Turn",
    "fold_history",
    "replay",
    "select",
    "what_if",
]
