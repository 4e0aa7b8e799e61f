"""Families of noise that one cohort has of its own, as paths of a log rate."""

import math
from enum import StrEnum
from functools import lru_cache

import numpy as np

from tests.bench.judge.tails import Floats


class Family(StrEnum):
    """Law of a path; each has standard deviation sd and one parameter."""

    AR = "ar"  # first-order autoregression; correlation a window
    STUDENT = "student"  # independent, Student's t; degrees of freedom
    REGIME = "regime"  # two levels, +sd and -sd; chance a window to change
    FRACTIONAL = "fractional"  # fractional Gaussian noise; Hurst parameter


def path(rng: np.random.Generator, windows: int, family: Family, sd: float, parameter: float) -> Floats:
    """Return a path (windows,); nothing is drawn where sd is 0."""
    if sd <= 0:
        return np.zeros(windows)
    match family:
        case Family.AR:
            return _autoregressive(rng, windows, sd, parameter)
        case Family.STUDENT:
            scale = sd / math.sqrt(parameter / (parameter - 2.0))
            # Beyond five standard deviations a log rate would be an incident, which is another world.
            return np.asarray(np.clip(scale * rng.standard_t(parameter, windows), -5.0 * sd, 5.0 * sd))
        case Family.REGIME:
            changes = rng.random(windows) < parameter
            side = 1.0 if rng.random() < 0.5 else -1.0
            return np.asarray(sd * side * np.where(np.cumsum(changes) % 2 == 0, 1.0, -1.0))
        case Family.FRACTIONAL:
            return sd * _fractional(rng, windows, parameter)


def _autoregressive(rng: np.random.Generator, windows: int, sd: float, rho: float) -> Floats:
    noise = rng.normal(size=windows) * sd * math.sqrt(1.0 - rho * rho)
    out = np.empty(windows)
    value = rng.normal() * sd
    for t in range(windows):
        value = rho * value + noise[t]
        out[t] = value
    return out


@lru_cache(maxsize=32)
def _spectrum(windows: int, hurst: float) -> Floats:
    """Return the square roots of the circulant's eigenvalues (Davies and Harte, 1987); shape (2 windows,)."""
    lags = np.arange(windows + 1, dtype=np.float64)
    power = 2.0 * hurst
    covariance = 0.5 * (np.abs(lags - 1) ** power - 2.0 * lags**power + (lags + 1) ** power)
    row = np.concatenate((covariance, covariance[-2:0:-1]))
    return np.sqrt(np.maximum(np.fft.fft(row).real, 0.0))


def _fractional(rng: np.random.Generator, windows: int, hurst: float) -> Floats:
    roots = _spectrum(windows, hurst)
    noise = rng.normal(size=roots.size) + 1j * rng.normal(size=roots.size)
    return np.asarray(np.fft.fft(roots * noise).real[:windows] / math.sqrt(roots.size))


def clustered(rng: np.random.Generator, mean: Floats, size: float) -> Floats:
    """Return counts of expectation `mean` that come in clusters of geometric size (Poisson clusters)."""
    clusters = rng.poisson(mean / size)
    more = rng.negative_binomial(np.maximum(clusters, 1), 1.0 / size)
    return np.asarray(clusters + np.where(clusters > 0, more, 0), dtype=np.float64)
