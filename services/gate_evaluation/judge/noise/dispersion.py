"""Estimates dispersion by channel: how much two halves of one fleet differ beyond chance, and for how long.

Residuals are measured against the events *expected* from past windows (the realised total biases the ratio when the
baseline is bursty), so a channel's noise is a variance of log rate ratios, tau2, per window and over its long run.
"""

import math

import msgspec
import numpy as np

from services.gate_evaluation.judge.arrays import Floats
from services.gate_evaluation.judge.versions import CURRENT, Parameters

LAGS = 20
_SPREAD = 4.0 / 3.0 * LAGS
"""Squared relative error of Bartlett's estimate over LAGS lags, times the windows that it rests on."""
_SAFETY = 1.3
_PLAUSIBLE = 12.0
"""Long-run variance of noise as large as the prior's that lasts a handful of windows, in variances of the prior."""
_KNOWN = 10
_PRIOR_WINDOWS = 4.0
_PRIOR_WINDOWS_ALONE = 20.0
_PRIOR_WINDOWS_UNSURE = 60.0
_ROLLOUT_WEIGHT = 0.3
_CLIP = 2.5
_FORGET = 0.9998
_SPAN = 30
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
    """The last LAGS windows of (g r, g) by channel, newest first, without moving them at each window."""

    _ROOM = 256

    def __init__(self, channels: int) -> None:
        self._buffer: Floats = np.zeros((2, channels, LAGS + self._ROOM))
        self._at = self._ROOM

    @property
    def view(self) -> Floats:
        """Shape (2, channels, LAGS)."""
        return self._buffer[:, :, self._at : self._at + LAGS]

    def push(self, newest: list[list[float]]) -> Floats:
        """Add one window, (g r, g) by channel, and return the view."""
        if self._at == 0:
            self._buffer[:, :, self._ROOM :] = self.view.copy()
            self._at = self._ROOM
        self._at -= 1
        self._buffer[:, :, self._at] = newest
        return self.view


class Dispersion:
    """Weighted sums of residual products by channel and lag, over the history and the rollout so far.

    `sums` holds the products (row 0) and their weights (row 1); shape (2, channels, LAGS). Channels are few:
    what is done once a channel uses plain floats, and only what is done once a lag uses arrays.
    """

    def __init__(self, prior_sd: Floats) -> None:
        self.prior: Floats = prior_sd**2
        self._priors: list[float] = self.prior.tolist()
        self._v0: list[float] = []
        self.sums: Floats = np.zeros((2, prior_sd.size, LAGS))
        self.windows: list[float] = [0.0] * prior_sd.size
        self._rings = [_Ring(prior_sd.size), _Ring(prior_sd.size)]  # A/A, rollout
        self._none = [0.0] * prior_sd.size
        self._weigh_priors()
        self._estimate()

    @property
    def tau2(self) -> Floats:
        """Long-run variance a window: row 0 with the safety factor, row 1 without; shape (2, channels)."""
        return self._tau2

    @property
    def plausible(self) -> Floats:
        """Long-run variance a window that may well be there though no history shows it, by channel."""
        return _PLAUSIBLE * self.prior

    @property
    def unsure(self) -> Floats:
        """Relative error (sd) of the long-run variance, as Bartlett's estimate has it over its lags.

        Row 1 is that of uses without a safety factor, which do without it: zero; shape (2, channels).
        """
        return self._unsure

    def variance(self, channel: int) -> float:
        """Return V0 of a channel: the variance of one window beyond chance."""
        return self._v0[channel]

    def update(self, residuals: list[Residual | None], *, rollout: bool) -> None:
        """Add one window of residuals, None where there is none; those of a rollout weigh less and are clipped."""
        if not residuals:
            return
        share = _ROLLOUT_WEIGHT if rollout else 1.0
        newest: list[list[float]] = [[], []]
        chance: list[float] = []
        known = 0
        for channel, found in enumerate(residuals):
            if found is None:
                value = weight = sampling = 0.0
            else:
                value, sampling = found.value, found.sampling
                weight = 1.0 / (found.expected_sampling + self._priors[channel])
                if rollout:
                    most = _CLIP * math.sqrt(sampling + self._v0[channel])
                    value = min(max(value, -most), most)
                self.windows[channel] += share
                known += 1
            newest[0].append(weight * value)
            newest[1].append(weight)
            chance.append(share * weight * weight * sampling)
        ring = self._rings[rollout].push(newest)
        products = ring * (share * ring[:, :, :1])
        products[0, :, 0] -= chance
        if known == len(residuals):
            self.sums *= _FORGET
        elif known:
            self.sums *= np.array([1.0 if found is None else _FORGET for found in residuals])[:, None]
        self.sums += products
        self._estimate()

    def _weigh_priors(self) -> None:
        """Set the weights of the priors; they change while a channel has next to no windows."""
        self._young = any(seen < _KNOWN for seen in self.windows)
        self._weights = [
            (_PRIOR_WINDOWS_ALONE if seen < _KNOWN else _PRIOR_WINDOWS) / (36.0 * prior * prior)
            for seen, prior in zip(self.windows, self._priors, strict=True)
        ]
        self._weight_column: Floats = np.array(self._weights).reshape(-1, 1)

    def _estimate(self) -> None:
        if self._young:
            self._weigh_priors()
        lags = self.sums[0] / (self.sums[1] + self._weight_column)
        first, later, squares = lags[:, :2].tolist(), (lags @ _TAPER).tolist(), self.sums[1, :, 0].tolist()
        found: list[float] = []
        self._v0 = []
        for v, tail, square, weight, prior in zip(first, later, squares, self._weights, self._priors, strict=True):
            v0 = max(v[0] + weight * prior / (square + weight), 0.0)
            self._v0.append(v0)
            found.append(_long_run(v0, v[1], tail))
        safe = [_SAFETY * value for value in found]
        unsure = [math.sqrt(_SPREAD / (seen + _PRIOR_WINDOWS_UNSURE)) for seen in self.windows]
        together: Floats = np.array((safe, found, unsure, self._none))
        self._tau2, self._unsure = together[:2], together[2:]

    def arrays(self) -> dict[str, Floats]:
        """Return everything that a continuation needs, by name; the second axis of each is the channel."""
        rings = np.concatenate([ring.view for ring in self._rings])
        return {"sums": self.sums, "rings": rings, "windows": np.array([self.windows])}

    def restore(self, arrays: dict[str, Floats]) -> None:
        """Continue from `arrays` of the same channels."""
        self.sums, self.windows = arrays["sums"].copy(), arrays["windows"][0].tolist()
        self._weigh_priors()
        for at, ring in enumerate(self._rings):
            ring.view[:] = arrays["rings"][2 * at : 2 * at + 2]
        self._estimate()


def _long_run(v0: float, v1: float, later: float) -> float:
    """Return the mean of two estimates of a long-run variance: by Bartlett's weights, and as a chain of lag-1 memory.

    Args:
        v0, v1: variance, and covariance of neighbouring windows.
        later: weighted sum of the covariances at all lags from 1.
    """
    r = min(max(v1 / v0, 0.0), 0.95) if v0 > 0 else 0.0
    chain = v0 * ((1 + r) / (1 - r) - 2 * r * (1 - r**_SPAN) / (_SPAN * (1 - r) ** 2))
    return 0.5 * (max(v0, v0 + 2.0 * later) + chain)


def hidden_noise(unsure: Floats, even: Floats, noise: Floats, most: Floats, parameters: Parameters = CURRENT) -> Floats:
    """Return what to add to a dispersion for noise that the A/A windows may not have shown.

    An underestimated dispersion inflates log evidence in proportion to the squared error; this adds a correction of
    that order (half of the nats of a breach). An estimate that is cut off at zero is too large already where there is
    no noise; that much is subtracted. All but `unsure` are in units of chance.

    Args:
        unsure: relative error of the dispersion.
        even: what chance gives the A/A halves, 4 s (1 - s) for a canary share s.
        noise: variance of the events beyond chance, as estimated.
        most: error that is still plausible where no noise is seen.
        parameters: of the judge's version.
    """
    hidden = unsure * even
    np.minimum(hidden, most, out=hidden)
    hidden += unsure * noise
    added = hidden * parameters.wary
    added /= noise + 1.0
    added -= parameters.cut
    added *= hidden
    return np.maximum(added, 0.0, out=added)
