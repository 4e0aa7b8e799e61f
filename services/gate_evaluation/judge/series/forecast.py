"""Forecasts a metric from its own past: a point each five minutes, its expected value, and past residuals."""

from bisect import bisect_left
from statistics import median

import numpy as np

from services.gate_evaluation.judge.arrays import pack, unpack

POINT_S = 300.0
DAY = 288
FEWEST = 192
"""Residuals before anything is said (sixteen hours). Among fewer a step could not raise the alarm before the recent
median has followed it; among so many it does within six points, among a day's within five."""
_RECENT = 12
_STALE = 24
_NEAR = 2
_KEPT = 864
_EPS = 1e-6


class Forecast:
    """Points by their place in time (five minutes from the epoch on), and residuals of three days.

    A point is closed by the window that ends its five minutes, or by the first that lies beyond them; a longer window
    is a point of its own. Places without a point are gaps: nothing is made up for them.
    """

    def __init__(self) -> None:
        self.places: list[int] = []
        self.points: list[float] = []
        self.scores: list[float] = []
        self._open: list[float] = [0.0, 0.0, 0.0]  # place, seconds, seconds x value

    def add(self, start: float, end: float, value: float) -> list[tuple[float, float]]:
        """Take one window's value; return the points that it closes (at most two), each with what it should be."""
        place = int((0.5 * (start + end)) // POINT_S)
        found: list[tuple[float, float]] = []
        if self._open[1] > 0 and self._open[0] != place:
            found += self._close()
        self._open = [place, self._open[1] + end - start, self._open[2] + (end - start) * value]
        if end >= (place + 1) * POINT_S - _EPS:
            found += self._close()
        return found

    def _close(self) -> list[tuple[float, float]]:
        place, seconds, total = self._open
        self._open = [0.0, 0.0, 0.0]
        point, expected = total / seconds, self.expected(int(place))
        self.places, self.points = [*self.places, int(place)], [*self.points, point]
        while self.places[0] < place - DAY - 2 * _STALE:
            del self.places[0], self.points[0]
        return [] if expected is None else [(point, expected)]

    def expected(self, place: int) -> float | None:
        """Return what a point should be: the recent median, moved half as far as the same time moved yesterday."""
        level = self._level(len(self.points), place)
        if level is None:
            return None
        at = bisect_left(self.places, place - DAY - _NEAR)
        near = [i for i in range(at, len(self.places)) if self.places[i] <= place - DAY + _NEAR]
        if not near:
            return level
        yesterday = min(near, key=lambda i: abs(self.places[i] - (place - DAY)))
        before = self._level(yesterday, self.places[yesterday])
        return level if before is None else level + 0.5 * (self.points[yesterday] - before)

    def _level(self, until: int, place: int) -> float | None:
        """Return the median of the last points before index `until`, None where they are few or long ago."""
        recent = self.points[max(until - _RECENT, 0) : until]
        if len(recent) < _RECENT or self.places[until - 1] < place - _STALE:
            return None
        return median(recent)

    @property
    def next(self) -> float | None:
        """What the point at hand should be."""
        place = self._open[0] if self._open[1] > 0 else (self.places[-1] + 1 if self.places else 0)
        return self.expected(int(place))

    def rank(self, score: float) -> float | None:
        """Return the conformal p-value of a score among the earlier ones, None while they are too few."""
        ranked = sorted(self.scores)
        if len(ranked) < FEWEST:
            return None
        return (1.0 + len(ranked) - bisect_left(ranked, score)) / (len(ranked) + 1.0)

    def keep(self, score: float) -> None:
        """Take a score among those that later ones are ranked in."""
        self.scores = [*self.scores, score][-_KEPT:]

    def missing(self) -> float:
        """Return the seconds until enough is known."""
        points = FEWEST - len(self.scores) + (max(_RECENT - len(self.points), 0) if not self.scores else 0)
        return max(points, 0) * POINT_S

    def to_doc(self) -> dict[str, object]:
        """Return everything as JSON-able values."""
        return {
            "places": self.places,
            "points": pack(np.array(self.points)),
            "scores": pack(np.array(self.scores)),
            "open": self._open,
        }

    def restore(self, doc: dict[str, object]) -> None:
        """Continue from `to_doc`."""
        places, points, scores, opened = doc["places"], doc["points"], doc["scores"], doc["open"]
        assert isinstance(places, list)
        assert isinstance(points, dict)
        assert isinstance(scores, dict)
        assert isinstance(opened, list)
        self.places, self._open = list(places), list(opened)
        self.points, self.scores = unpack(points).tolist(), unpack(scores).tolist()
