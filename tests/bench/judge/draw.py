"""Draws whole runs of windows at once: counts for every window, cohort and bucket from one seeded generator."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from services.gate_evaluation.judge import Cohort, ExponentialHistogram, Gauge, Ratio, Window
from tests.bench.judge.noise import Family, clustered, path
from tests.bench.judge.tails import EDGES, LOW, SCALE, STEP, Floats, masses
from tests.bench.judge.world import Change, Scenario, World

__all__ = ["STEP", "CohortRun", "Floats", "Past", "Run", "before", "draw", "draw_past", "edges", "whole"]

_WINDOW_S = 60.0
_INSTANCES = 20
_MEMORY = 52.0


def edges() -> Floats:
    """Return ln of the lower boundary of each simulated bucket (and of the upper one of the last)."""
    return EDGES


@dataclass(frozen=True, slots=True)
class CohortRun:
    """All windows of one cohort: requests and errors (T,), latency buckets (T, B), memory count, sum, sumsq (T, 3)."""

    requests: Floats
    errors: Floats
    buckets: Floats
    memory: Floats

    def cohort(self, at: int) -> Cohort:
        """Return one window's measures."""
        counts = self.buckets[at]
        used = np.flatnonzero(counts)
        first, last = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 1)
        n = float(self.requests[at])
        memory = self.memory[at].tolist()
        return Cohort(
            {
                "error_rate": Ratio(float(self.errors[at]), n),
                "latency_ms": ExponentialHistogram(n, 0.0, SCALE, 0, LOW + first, counts[first:last].tolist()),
                "memory": Gauge(*memory),
            },
            requests=n,
        )


@dataclass(frozen=True, slots=True)
class Past:
    """What went before a rollout: A/A halves of the stable fleet; and where its generator stood after them."""

    a: CohortRun
    b: CohortRun
    state: Mapping[str, Any]

    def windows(self) -> list[Window]:
        """Return the windows before the rollout."""
        return [Window(a=self.a.cohort(t), b=self.b.cohort(t)) for t in range(self.a.requests.size)]


@dataclass(frozen=True, slots=True)
class Run:
    """One simulated rollout: canary and baseline."""

    canary: CohortRun
    baseline: CohortRun

    def window(self, at: int) -> Window:
        """Return one window of the rollout."""
        return Window(canary=self.canary.cohort(at), baseline=self.baseline.cohort(at))


_TRAFFIC_FROM, _TRAFFIC_WINDOWS, _TRAFFIC_SEED = -1500, 4096, 20260


@lru_cache(maxsize=8)
def _traffic_path(sd: float, hurst: float) -> Floats:
    rng = np.random.default_rng(_TRAFFIC_SEED)
    return np.exp(path(rng, _TRAFFIC_WINDOWS, Family.FRACTIONAL, sd, hurst))


def _traffic(world: World, t: "np.ndarray[tuple[int], np.dtype[np.intp]]") -> Floats | float:
    """Return the factor of the traffic that both cohorts, and all runs of the world, share."""
    if world.traffic[0] <= 0:
        return 1.0
    return np.asarray(_traffic_path(*world.traffic)[t - _TRAFFIC_FROM])


def _bursts(rng: np.random.Generator, windows: int, chance: float, factor: float, length: float) -> Floats:
    out = np.ones(windows)
    for t in np.flatnonzero(rng.random(windows) < chance):
        out[t : t + 1 + rng.poisson(length - 1.0)] = factor
    return out


@dataclass(frozen=True, slots=True)
class _Effect:
    """What happens to a cohort, by window: factor and addend of errors, memory factor, latency factors."""

    times: Floats
    plus: Floats
    memory: Floats
    slow: Floats
    every: Floats


def _effect(change: Change | None, world: World, windows: int) -> _Effect:
    ones = np.ones(windows)
    if change is None:
        return _Effect(ones, np.zeros(windows), ones, ones, ones)
    t = np.arange(windows)
    last = windows if change.length is None else change.onset + change.length
    on = (t >= change.onset) & (t < last)
    age = np.where(on, t - change.onset + 1, 0)
    cold = t < world.warmup
    grown = np.minimum(np.cumsum(on), change.length or windows)
    return _Effect(
        np.where(on, change.errors_times * (1.0 + change.creep * age), 1.0) * np.where(cold, 3.0, 1.0),
        np.where(on, change.errors_plus, 0.0),
        1.0 + change.leak * grown,
        np.where(on, change.slow_times, 1.0),
        np.where(on, change.all_times, 1.0) * np.where(cold, 1.5, 1.0),
    )


def _draw(
    rng: np.random.Generator, world: World, share: float, first: int, windows: int, change: Change | None
) -> CohortRun:
    """Draw one cohort; `first` is its first window's index on the shared clock (negative before the rollout)."""
    t = first + np.arange(windows)
    wave = world.diurnal * np.sin(2 * math.pi * t / 1440.0 * 6.0)
    effect = _effect(change, world, windows)
    drift = np.exp(path(rng, windows, world.family, *world.wander))
    lam = world.rps * _WINDOW_S * share * (1.0 + 0.5 * wave) * _traffic(world, t)
    if world.gamma > 0:
        drift = drift * rng.gamma(world.gamma, 1.0 / world.gamma, size=windows)
    rate = world.errors * np.exp(wave) * drift * _bursts(rng, windows, *world.burst) * effect.times + effect.plus
    if world.outage is not None:
        rate = np.where((t >= world.outage[0]) & (t <= world.outage[1]), world.outage[2] + rate, rate)
    slower = np.exp(path(rng, windows, world.family, *world.wander))
    slow = np.clip(world.slow.share * np.exp(0.5 * wave) * slower, 0.0, 0.5)
    mass = np.empty((windows, EDGES.size - 1))
    for pair in set(zip(effect.slow.tolist(), effect.every.tolist(), strict=True)):
        rows = (effect.slow == pair[0]) & (effect.every == pair[1])
        fast_mass, slow_mass = masses(world.slow, *pair)
        mass[rows] = (1.0 - slow[rows, None]) * fast_mass + slow[rows, None] * slow_mass
    buckets = rng.poisson(lam[:, None] * mass).astype(np.float64)
    requests = buckets.sum(axis=1)
    if world.cluster > 1.0:
        errors = np.minimum(clustered(rng, requests * np.minimum(rate, 1.0), world.cluster), requests)
    else:
        errors = rng.binomial(requests.astype(np.int64), np.minimum(rate, 1.0)).astype(np.float64)
    instances = max(round(_INSTANCES * share), 1)
    level = _MEMORY * effect.memory * np.exp(path(rng, windows, Family.AR, *world.memory_wander) / math.sqrt(instances))
    values = level[:, None] * (1.0 + world.memory_sd * rng.normal(size=(windows, instances)))
    memory = np.stack((np.full(windows, float(instances)), values.sum(1), (values**2).sum(1)), axis=1)
    return CohortRun(requests, errors, buckets, memory)


def before(world: World) -> World:
    """Return the world without what only rollouts see: worlds that are alike before a rollout have one past."""
    return replace(world, split=0.5, outage=None, warmup=0)


def draw_past(world: World, seed: int, run: int) -> Past:
    """Return the past of one run; the same seed and number give the same on any machine with the same numpy."""
    rng = np.random.default_rng([seed, run])
    a, b = (_draw(rng, before(world), 0.5, -world.history, world.history, None) for _ in range(2))
    return Past(a, b, rng.bit_generator.state)


def draw(scenario: Scenario, state: Mapping[str, Any]) -> Run:
    """Return one run of a scenario, after the past that left its generator in `state`."""
    rng = np.random.default_rng()
    rng.bit_generator.state = state
    world, windows = scenario.world, scenario.windows + scenario.world.warmup
    return Run(
        _draw(rng, world, world.split, 0, windows, scenario.change),
        _draw(rng, world, 1.0 - world.split, 0, windows, None),
    )


def whole(scenario: Scenario, seed: int, run: int) -> tuple[Past, Run]:
    """Return one run of a scenario, with its past."""
    past = draw_past(scenario.world, seed, run)
    return past, draw(scenario, past.state)
