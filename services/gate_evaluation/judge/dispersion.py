"""How much two halves of one fleet differ beyond chance, and for how long: what the A/A split teaches every lane.

Residuals are measured against the events *expected* from past windows (the realised total biases the ratio when the
baseline is bursty), so a lane's noise is a variance of log rate ratios, tau2, per window and over its long run.
"""

import msgspec
import numpy as np

from services.gate_evaluation.judge.grids import Floats

LAGS = 20
_SAFETIES: Floats = np.array([[1.3], [1.0]])
_KNOWN = 10
_PRIOR_WINDOWS = 4.0
_PRIOR_WINDOWS_ALONE = 20.0
_ROLLOUT_WEIGHT = 0.3
_CLIP = 2.5
_FORGET = 0.9998
_SPAN = 30
_NOTHING = (0.0, 0.0, 0.0, 0.0)
_TAPER: Floats = np.where(np.arange(LAGS) > 0, 1.0 - np.arange(LAGS) / LAGS, 0.0)


class Residual(msgspec.Struct, frozen=True):
    """One window's difference of two cohorts, as a log ratio.

    Attributes:
        value: the difference r.
        sampling: the variance that chance alone gives it.
        expected_sampling: the same from past windows only (sets the weight).
    """

    value: float
    sampling: float
    expected_sampling: float


class _Ring:
    """The last LAGS windows of (g r, g) by lane, newest first, without moving them at each window."""

    _ROOM = 256

    def __init__(self, lanes: int) -> None:
        self._buffer: Floats = np.zeros((2, lanes, LAGS + self._ROOM))
        self._at = self._ROOM

    @property
    def view(self) -> Floats:
        """Shape (2, lanes, LAGS)."""
        return self._buffer[:, :, self._at : self._at + LAGS]

    def push(self, weighted: Floats, weight: Floats) -> Floats:
        """Add one window and return the view."""
        if self._at == 0:
            self._buffer[:, :, self._ROOM :] = self.view.copy()
            self._at = self._ROOM
        self._at -= 1
        self._buffer[0, :, self._at] = weighted
        self._buffer[1, :, self._at] = weight
        return self.view


class Dispersion:
    """Weighted sums of residual products by lane and lag, over the history and the rollout so far."""

    def __init__(self, prior_sd: Floats) -> None:
        lanes = prior_sd.size
        self.prior: Floats = prior_sd**2
        self._window_weight: Floats = 1.0 / (36.0 * self.prior**2)
        self.top: Floats = np.zeros((lanes, LAGS))
        self.bottom: Floats = np.zeros((lanes, LAGS))
        self.windows: Floats = np.zeros(lanes)
        self._rings = [_Ring(lanes), _Ring(lanes)]  # A/A, rollout
        self._tau2: Floats = self._estimate()

    @property
    def tau2(self) -> Floats:
        """Long-run variance a window: row 0 with the safety factor, row 1 without; shape (2, lanes)."""
        return self._tau2

    def variance(self, lane: int) -> float:
        """Return V0 of a lane: the variance of one window beyond chance."""
        return float(self._v0[lane])

    def learn(self, residuals: list[Residual | None], *, rollout: bool) -> None:
        """Add one window; lanes without a residual learn nothing. In-rollout residuals weigh less and are clipped."""
        if not residuals:
            return
        rows = [(r.value, r.sampling, r.expected_sampling, 1.0) if r else _NOTHING for r in residuals]
        value, sampling, expected, seen = np.array(rows).T
        weight = seen / (expected + self.prior)
        if rollout:
            most = _CLIP * np.sqrt(sampling + self._v0)
            value = np.minimum(np.maximum(value, -most), most)
        ring = self._rings[rollout].push(weight * value, weight)
        share = _ROLLOUT_WEIGHT if rollout else 1.0
        products = ring * (share * ring[:, :, :1])
        products[0, :, 0] -= share * weight * weight * sampling
        forget = 1.0 - (1.0 - _FORGET) * seen[:, None]
        self.top *= forget
        self.top += products[0]
        self.bottom *= forget
        self.bottom += products[1]
        self.windows += share * seen
        self._tau2 = self._estimate()

    def _estimate(self) -> Floats:
        alone = self.windows < _KNOWN
        prior = self._window_weight * (_PRIOR_WINDOWS + (_PRIOR_WINDOWS_ALONE - _PRIOR_WINDOWS) * alone)
        lags = self.top / (self.bottom + prior[:, None])
        v0 = np.maximum(lags[:, 0] + prior * self.prior / (self.bottom[:, 0] + prior), 0.0)
        self._v0: Floats = v0
        later = lags @ _TAPER
        found = [_long_run(*each) for each in zip(v0.tolist(), lags[:, 1].tolist(), later.tolist(), strict=True)]
        tau2: Floats = _SAFETIES * np.array(found)
        return tau2

    def arrays(self) -> dict[str, Floats]:
        """Return everything that a continuation needs, by name."""
        return {
            "top": self.top,
            "bottom": self.bottom,
            "windows": self.windows,
            "ring": np.stack([ring.view for ring in self._rings]),
        }

    def restore(self, arrays: dict[str, Floats]) -> None:
        """Continue from `arrays` of the same lanes."""
        self.top, self.bottom = arrays["top"].copy(), arrays["bottom"].copy()
        self.windows = arrays["windows"].copy()
        for ring, view in zip(self._rings, arrays["ring"], strict=True):
            ring.view[:] = view
        self._tau2 = self._estimate()


def _long_run(v0: float, v1: float, later: float) -> float:
    """Return the mean of two estimates of a long-run variance: by Bartlett's weights, and as a chain of lag-1 memory.

    Args:
        v0, v1: variance, and covariance of neighbouring windows.
        later: weighted sum of the covariances at all lags from 1.
    """
    r = min(max(v1 / v0, 0.0), 0.95) if v0 > 0 else 0.0
    chain = v0 * ((1 + r) / (1 - r) - 2 * r * (1 - r**_SPAN) / (_SPAN * (1 - r) ** 2))
    return 0.5 * (max(v0, v0 + 2.0 * later) + chain)
