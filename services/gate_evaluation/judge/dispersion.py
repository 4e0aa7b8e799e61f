"""How much two halves of one fleet differ beyond chance, and for how long: what the A/A split teaches every lane.

Residuals are measured against the events *expected* from past windows (the realised total biases the ratio when the
baseline is bursty), so a lane's noise is a variance of log rate ratios, tau2, per window and over its long run.
"""

from dataclasses import dataclass

import numpy as np

from services.gate_evaluation.judge.grids import Floats

LAGS = 20
_SAFETY = 1.3
_PRIOR_WINDOWS = 4.0
_PRIOR_WINDOWS_ALONE = 20.0
_ROLLOUT_WEIGHT = 0.3
_CLIP = 2.5
_FORGET = 0.9998
_SPAN = 30
_TAPER: Floats = 1.0 - np.arange(LAGS) / LAGS


@dataclass(frozen=True, slots=True)
class Residual:
    """One window's difference of two cohorts, as a log ratio.

    Attributes:
        value: the difference r.
        sampling: the variance that chance alone gives it.
        expected_sampling: the same from past windows only (sets the weight).
    """

    value: float
    sampling: float
    expected_sampling: float


class Dispersion:
    """Weighted sums of residual products by lane and lag, over the history and the rollout so far."""

    def __init__(self, prior_sd: Floats) -> None:
        lanes = prior_sd.size
        self.prior: Floats = prior_sd**2
        self.top: Floats = np.zeros((lanes, LAGS))
        self.bottom: Floats = np.zeros((lanes, LAGS))
        self.windows: Floats = np.zeros(lanes)
        self._ring = np.zeros((2, 2, lanes, LAGS))  # [source][g r, g][lane][age]
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
        value = np.array([r.value if r else 0.0 for r in residuals])
        sampling = np.array([r.sampling if r else 0.0 for r in residuals])
        seen = np.array([1.0 if r else 0.0 for r in residuals])
        weight = seen / (np.array([r.expected_sampling if r else 0.0 for r in residuals]) + self.prior)
        if rollout:
            sd = np.sqrt(sampling + self._v0)
            value = np.clip(value, -_CLIP * sd, _CLIP * sd)
        ring = self._ring[int(rollout)]
        ring[:, :, 1:] = ring[:, :, :-1].copy()
        ring[0, :, 0] = weight * value
        ring[1, :, 0] = weight
        share = _ROLLOUT_WEIGHT if rollout else 1.0
        forget = np.where(seen > 0, _FORGET, 1.0)[:, None]
        self.top *= forget
        self.bottom *= forget
        self.top += share * ring[0] * ring[0, :, :1]
        self.top[:, 0] -= share * weight * weight * sampling
        self.bottom += share * ring[1] * ring[1, :, :1]
        self.windows += share * seen
        self._tau2 = self._estimate()

    def _estimate(self) -> Floats:
        known = self.windows >= 10
        prior = np.where(known, _PRIOR_WINDOWS, _PRIOR_WINDOWS_ALONE) / (36.0 * self.prior**2)
        lags = self.top / (self.bottom + prior[:, None])
        v0 = np.maximum(lags[:, 0] + prior * self.prior / (self.bottom[:, 0] + prior), 0.0)
        self._v0: Floats = v0
        lags[:, 0] = 0.0
        bartlett = np.maximum(v0, v0 + 2.0 * (lags @ _TAPER))
        r = np.clip(lags[:, 1] / np.maximum(v0, 1e-300), 0.0, 0.95)
        chain = v0 * ((1 + r) / (1 - r) - 2 * r * (1 - r**_SPAN) / (_SPAN * (1 - r) ** 2))
        mean = 0.5 * (bartlett + chain)
        return np.stack((_SAFETY * mean, mean))

    def arrays(self) -> dict[str, Floats]:
        """Return everything that a continuation needs, by name."""
        return {"top": self.top, "bottom": self.bottom, "windows": self.windows, "ring": self._ring}

    def restore(self, arrays: dict[str, Floats]) -> None:
        """Continue from `arrays` of the same lanes."""
        self.top, self.bottom = arrays["top"].copy(), arrays["bottom"].copy()
        self.windows, self._ring = arrays["windows"].copy(), arrays["ring"].copy()
        self._tau2 = self._estimate()
