"""Upper tails of both cohorts of a rollout for one metric: over the recent windows, and over all of it."""

import numpy as np

from services.gate_evaluation.judge.arrays import Floats
from services.gate_evaluation.judge.evidence.rate_state import FORGET
from services.gate_evaluation.judge.series.histograms import Cells, Frame

_NONE = 1
"""Width of the tails before any window."""


class CohortTails:
    """Tails of canary and baseline: of the recent windows, then of the whole rollout, where either cohort counts by the
    other's share, so that both weigh alike whatever the stages' splits. They follow the frame when its cells move.
    """

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self.start_rollout()

    def start_rollout(self) -> None:
        """Begin a rollout: nothing is known of its canary."""
        self._recent: Floats = np.zeros((2, _NONE))
        self._whole: Floats = np.zeros((2, _NONE))
        self._changed = -1
        self._cells = Cells(None, 0, 0)

    def add(self, pair: Floats) -> None:
        """Take one window: the tails of canary and baseline, on the frame's present cells."""
        if self._changed != self._frame.changed:
            self._lay()
        recent, whole = self._recent, self._whole
        recent *= 1.0 - FORGET
        recent += pair
        n_canary, n_baseline = pair[:, -1].tolist()
        if n_canary > 0 and n_baseline > 0:
            one, two = pair
            whole[0] += one * (n_baseline / (n_canary + n_baseline))
            whole[1] += two * (n_canary / (n_canary + n_baseline))

    def _lay(self) -> None:
        """Bring all tails onto the cells as they lie now."""
        frame, old = self._frame, self._cells
        self._changed, self._cells = frame.changed, frame.cells
        if not old.size:
            self._recent, self._whole = np.zeros((2, 2, frame.size + 1))
            return
        self._recent, self._whole = (
            np.stack([frame.tails(frame.moved(np.diff(row)[::-1], old)) for row in rows])
            for rows in (self._recent, self._whole)
        )

    @property
    def recent(self) -> Floats:
        """Tails of canary and baseline over the recent windows; of width 1 before any."""
        if self._cells.size and self._changed != self._frame.changed:
            self._lay()
        return self._recent

    def quantiles(self, q: float) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
        """Return the quantile q of canary and baseline, lately and over the whole rollout; None before any window."""
        if not self._cells.size:
            return None, None
        one, two, three, four = self._frame.quantiles((*self.recent, *self._whole), q)
        return _both(one, two), _both(three, four)

    def to_array(self) -> Floats:
        """Return all tails, on the frame's present cells."""
        return np.concatenate((self.recent, self._whole))

    def restore(self, tails: Floats) -> None:
        """Continue from `to_array`, on the frame's present cells."""
        self._recent, self._whole = tails[:2], tails[2:]
        if tails.shape[1] > _NONE:
            self._changed, self._cells = self._frame.changed, self._frame.cells


def _both(canary: float | None, baseline: float | None) -> tuple[float, float] | None:
    return None if canary is None or baseline is None else (canary, baseline)
