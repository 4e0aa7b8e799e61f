"""Tests whether the canary gets the share of traffic that the router was given: a validity flag, never a breach."""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np

from services.gate_evaluation.judge.arrays import Floats

_EFFECTS: Floats = np.array([s * e for e in (0.03, 0.06, 0.12, 0.25, 0.5, 1.0) for s in (-1.0, 1.0)])
_SLACK = 0.02
_PRIOR_VARIANCE, _PRIOR_WINDOWS = 0.02**2, 20.0
_CAP = 3.5
_LEAST, _MOST = -60.0, 400.0
LIMIT = math.log(1.0 / 0.001)
_KEEP = 0.97


@dataclass(slots=True)
class SplitNoise:
    """How much the traffic of two halves of a fleet varies beyond chance, around its own mean share."""

    share: float = 0.5
    seen: float = 0.0
    top: float = 0.0
    bottom: float = 0.0

    def update(self, n_a: float, n_b: float) -> None:
        """Take one A/A window."""
        n = n_a + n_b
        if n <= 0:
            return
        share = n_a / n
        self.seen += 1.0
        if self.seen > 3.0 and 0.0 < self.share < 1.0:
            sampling = (1.0 - self.share) / (self.share * n)
            relative = share / self.share - 1.0
            self.top += relative * relative - sampling
            self.bottom += 1.0
        self.share += max(1.0 / self.seen, 1.0 - _KEEP) * (share - self.share)

    @property
    def variance(self) -> float:
        """Variance of a share's log ratio, beyond chance."""
        top = self.top + _PRIOR_WINDOWS * _PRIOR_VARIANCE
        return 2.0 * max(top / (self.bottom + _PRIOR_WINDOWS), 0.0)

    def to_list(self) -> list[float]:
        """Return the state in the order of the fields."""
        return list(astuple(self))

    @classmethod
    def from_list(cls, values: Sequence[float]) -> "SplitNoise":
        """Continue from `to_list`."""
        return cls(*values)


class SplitGuard:
    """Two-sided e-process against "the canary's share is within 2 % of the configured one"."""

    def __init__(self) -> None:
        self.logs: Floats = np.zeros(_EFFECTS.size)
        self.log_e = 0.0
        self._split = 0.0
        self._gains: tuple[Floats, Floats] = (self.logs, self.logs)

    def observe(self, n_c: float, n_b: float, split: float, variance: float) -> None:
        """Take one window's requests of canary and baseline under a configured share."""
        n = n_c + n_b
        if n <= 0 or not 0 < split < 1:
            return
        if split != self._split:
            self._split, self._gains = split, _gains(split)
        each, other = self._gains
        phi = 1.0 + n * split * (1.0 - split) * variance
        self.logs += np.minimum((n_c * each + n_b * other) / phi, _CAP)
        self.restore(np.minimum(np.maximum(self.logs, _LEAST), _MOST))

    def restore(self, logs: Floats) -> None:
        """Continue from the evidence of each effect (nats); `log_e` is their mixture."""
        self.logs = logs
        top = float(logs.max())
        self.log_e = top + math.log(float(np.exp(logs - top).sum()) / logs.size)

    def restart(self) -> None:
        """Forget: a new stage has a new split."""
        self.restore(np.zeros(_EFFECTS.size))


def _gains(split: float) -> tuple[Floats, Floats]:
    """Return the nats that a canary request and a baseline request add to each effect."""
    null = np.minimum(split * (1.0 + np.sign(_EFFECTS) * _SLACK), 1.0 - 1e-9)
    odds = null / (1.0 - null) * np.exp(_EFFECTS)
    other = odds / (1.0 + odds)
    return np.log(other / null), np.log1p(-other) - np.log1p(-null)
