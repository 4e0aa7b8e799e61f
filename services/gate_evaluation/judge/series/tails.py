"""Upper tails of one metric's histograms, computed once a window for all gates that read them."""

import numpy as np

from services.gate_evaluation.judge.arrays import Floats
from services.gate_evaluation.judge.measures import Cohort, ExplicitHistogram, ExponentialHistogram
from services.gate_evaluation.judge.series.cohort_tails import CohortTails
from services.gate_evaluation.judge.series.histograms import Frame


class TailSource:
    """A metric's frame and the tails of the window at hand.

    `pair` holds the tails of two cohorts (canary, baseline or a, b), shape (2, size + 1); `recent` those of the
    smoothed baseline. Both count by size - edge: index 0 lies above everything.
    `rollout_tails` holds those of the rollout.
    """

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.frame = Frame()
        self.pair: Floats = np.zeros((2, 1))
        self.recent: Floats = np.zeros(1)
        self._cells: tuple[Floats, Floats] | None = None
        self.rollout_tails = CohortTails(self.frame)

    def load(self, one: Cohort, two: Cohort) -> bool:
        """Place both cohorts' histograms; False when one has none.

        Raises:
            MeasureError: the buckets do not fit those seen before.
        """
        first, second = one.measures.get(self.metric), two.measures.get(self.metric)
        kinds = (ExponentialHistogram, ExplicitHistogram)
        self._cells = None
        if not isinstance(first, kinds) or not isinstance(second, kinds):
            return False
        self._cells = self.frame.place_both(first, second)
        self.pair = np.zeros((2, self.frame.size + 1))
        self._cells[0][::-1].cumsum(out=self.pair[0, 1:])
        self._cells[1][::-1].cumsum(out=self.pair[1, 1:])
        self.recent = self.frame.tails(self.frame.sums[0])
        return True

    def unload(self) -> None:
        """Forget the window at hand: its histograms cannot be used."""
        self._cells = None

    @property
    def loaded(self) -> bool:
        """Whether both cohorts have a histogram in this window."""
        return self._cells is not None

    @property
    def totals(self) -> tuple[float, float]:
        """Number of values in either cohort."""
        return self.pair.item(0, -1), self.pair.item(1, -1)

    @property
    def taught(self) -> bool:
        """Whether the smoothed baseline holds anything."""
        return self.recent.size > 1 and self.recent.item(-1) > 0

    @property
    def cells(self) -> tuple[Floats, Floats]:
        """The two cohorts' counts by cell."""
        assert self._cells is not None
        return self._cells

    def absorb_halves(self) -> None:
        """Take both cohorts into the smoothed baseline (they are halves of the stable fleet)."""
        if self._cells is not None:
            self.frame.absorb(self._cells[0] + self._cells[1])

    def absorb_baseline(self, *, judged: bool) -> None:
        """Take the second cohort into the smoothed baseline, and both into the running estimate when judged."""
        if self._cells is None:
            return
        if judged:
            self.rollout_tails.add(self.pair)
        self.frame.absorb(self._cells[1])
