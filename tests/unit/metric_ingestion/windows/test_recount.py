"""Windows against an independent recount of the requests by numpy, over random worlds."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from penstock.events import Cohort, Doubt, Ratio
from tests.support.metrics.otlp import CUMULATIVE, DELTA, RESOURCE, Export, variant
from tests.support.metrics.target import PLAN, Target

SECONDS = 40
LATENESS = 2.0
KINDS = (("on", 200), ("on", 503), ("off", 200), ("off", 503))
"""Variant and status of the requests of a series; KINDS is also the order of the columns of counts."""

LENGTH = 3
TEXT = PLAN.replace("length: 1s", f"length: {LENGTH}s")


@dataclass
class Sent:
    """One export on its way.

    Attributes:
        at, arrives: when it is made and arrives; served: by the source since the one before.
        old: it is cumulative, and its process began before the watch.
    """

    at: float
    arrives: float
    export: Export
    served: np.ndarray
    old: bool


@dataclass
class Instance:
    """An instance of the shop as an SDK would measure it, with everything that may go wrong.

    Attributes:
        own_starts: a late series states the time of its first value (Python), else that of the process (Go, Java).
        ahead: seconds by which its clock is ahead; restarts: when its process is replaced.
    """

    name: str
    rng: np.random.Generator
    cumulative: bool
    every: float
    own_starts: bool
    ahead: float
    restarts: list[float]
    began: float
    slow: float
    sent: list[Sent] = field(default_factory=list)

    def live(self, target: Target) -> None:
        """Serve, export and restart until the end of the world."""
        rates = self.rng.uniform(0, 4, size=len(KINDS)) * (self.rng.random(len(KINDS)) < 0.8)
        # A kind of requests may begin late: its series appears when the process has long been reporting.
        begins = np.where(self.rng.random(len(KINDS)) < 0.3, self.rng.uniform(5, 25, size=len(KINDS)), -1.0)
        start, total, starts = self.began, np.zeros(len(KINDS), dtype=int), np.full(len(KINDS), np.nan)
        if self.began < 0:
            total += self.rng.integers(0, 5000, size=len(KINDS))
            starts[total > 0] = self.began
        before, at = max(self.began, 0.0), max(self.began, 0.0)
        while at < SECONDS:
            at += self.every * self.rng.uniform(0.9, 1.1)
            if self.restarts and at > self.restarts[0]:
                # What the old process had not exported is lost with it, for every way of counting.
                start = before = at = self.restarts.pop(0) + 0.01
                total, starts = np.zeros(len(KINDS), dtype=int), np.full(len(KINDS), np.nan)
                continue
            served = self.rng.poisson(rates * (at - before)) * (at > begins)
            fresh = np.isnan(starts) & (served > 0)
            starts[fresh] = max(before, start) + 0.001 if self.own_starts else start
            total = total + served
            self._send(target, at, before, served, total, starts)
            before = at

    def _send(
        self, target: Target, at: float, before: float, served: np.ndarray, total: np.ndarray, starts: np.ndarray
    ) -> None:
        export = Export(target.at(at + self.ahead), 0, {**RESOURCE, "service.instance.id": self.name})
        for place, (name, status) in enumerate(KINDS):
            count = int(total[place] if self.cumulative else served[place])
            if not count:
                continue
            export.start = target.at((starts[place] if self.cumulative else before) + self.ahead)
            attributes = variant(name, **{"http.response.status_code": status})
            export.histogram((count, 0, 0), attributes, temporality=CUMULATIVE if self.cumulative else DELTA)
        delay = self.slow if self.slow > LATENESS else self.rng.uniform(0.01, 0.9 * LATENESS)
        old = self.cumulative and float(np.nanmin(starts, initial=0.0)) < 0
        if export.metrics:
            self.sent.append(Sent(at, at + delay, export, served, old))
            if self.rng.random() < 0.2:
                self.sent.append(Sent(at, at + delay + self.rng.uniform(0, 8), export, np.zeros_like(served), old))


def world(seed: int, target: Target, *, skew: bool, slow: bool) -> list[Sent]:
    """Return everything that is sent in a random world, in the order of arrival."""
    rng = np.random.default_rng(seed)
    sent: list[Sent] = []
    for number in range(int(rng.integers(1, 5))):
        instance = Instance(
            name=f"shop-{number}",
            rng=rng,
            cumulative=bool(rng.random() < 0.6),
            every=float(rng.choice([0.5, 1.0, 2.0])),
            own_starts=bool(rng.random() < 0.5),
            ahead=float(rng.uniform(2, 500)) if skew and rng.random() < 0.5 else 0.0,
            restarts=sorted(rng.uniform(3, SECONDS, size=int(rng.integers(0, 6))).tolist()),
            began=float(rng.choice([-100.0, 0.5, 7.0])),
            slow=float(rng.uniform(3, 60)) if slow and number == 0 else 0.0,
        )
        instance.live(target)
        sent += instance.sent
    return sorted(sent, key=lambda one: one.arrives)


def played(target: Target, sent: list[Sent]) -> None:
    """Let everything arrive, with the clock of the service going on between."""
    now = 0.0
    for one in sent:
        while now + 0.25 < one.arrives:
            now += 0.25
            target.clock(now)
        target.export(one.arrives, one.export)
    target.clock(SECONDS + 100)


def measured(target: Target) -> dict[str, np.ndarray]:
    """Return requests and errors by variant and window; a window that told nothing of a cohort counts zero."""
    found = {}
    for name, cohort in (("on", Cohort.CANARY), ("off", Cohort.BASELINE)):
        ratios = [window.measures.get(cohort, {}).get("errors") for window in target.windows]
        found[name] = np.array([(r.total, r.events) if isinstance(r, Ratio) else (0, 0) for r in ratios])
    return found


def recount(sent: list[Sent]) -> dict[str, np.ndarray]:
    """Return requests and errors by variant and window of their export, from what was served alone."""
    seconds = np.array([one.at for one in sent])
    served = np.array([one.served for one in sent]).reshape(-1, len(KINDS))
    edges = np.arange(0, SECONDS + 101, LENGTH)
    columns = [np.histogram(seconds, bins=edges, weights=served[:, place])[0] for place in range(len(KINDS))]
    return {
        "on": np.stack([columns[0] + columns[1], columns[1]], axis=1),
        "off": np.stack([columns[2] + columns[3], columns[3]], axis=1),
    }


def without_baselines(sent: list[Sent]) -> list[Sent]:
    """Leave out what a process that began before the watch had served up to the export that arrived first.

    Nobody can know how much of it was served before the watch.
    """
    first: dict[str, float] = {}
    for one in sent:
        first.setdefault(str(one.export.resource["service.instance.id"]), one.at)
    for one in sent:
        if one.old and one.at <= first[str(one.export.resource["service.instance.id"])]:
            one.served[:] = 0
    return sent


@pytest.mark.parametrize("seed", range(24))
def test_every_request_is_counted_once_in_its_window_whatever_restarts_repeats_and_delays(seed: int) -> None:
    print("seed", seed)
    target = Target(TEXT)
    sent = without_baselines(world(seed, target, skew=False, slow=False))
    played(target, sent)
    truth, found = recount(sent), measured(target)
    for name in ("on", "off"):
        assert found[name].sum(axis=0).tolist() == truth[name].sum(axis=0).tolist()
    assert all(window.dropped == {} for window in target.windows)
    if all(one.export.metrics[0].histogram.aggregation_temporality == DELTA for one in sent):
        length = len(found["on"])
        assert (found["on"] == truth["on"][:length]).all()


@pytest.mark.parametrize("seed", range(60, 80))
def test_clocks_ahead_lose_and_repeat_nothing(seed: int) -> None:
    print("seed", seed)
    target = Target(TEXT)
    sent = without_baselines(world(seed, target, skew=True, slow=False))
    played(target, sent)
    truth, found = recount(sent), measured(target)
    for name in ("on", "off"):
        assert found[name].sum(axis=0).tolist() == truth[name].sum(axis=0).tolist()
    assert len(target.windows) <= SECONDS + 100


@pytest.mark.parametrize("seed", range(100, 116))
def test_what_comes_too_late_is_never_lost_in_silence(seed: int) -> None:
    print("seed", seed)
    target = Target(TEXT)
    sent = without_baselines(world(seed, target, skew=False, slow=True))
    played(target, sent)
    truth, found = recount(sent), measured(target)
    for name in ("on", "off"):
        missing = truth[name].sum(axis=0) - found[name].sum(axis=0)
        assert (missing >= 0).all()
        if missing.any():
            assert sum(window.dropped.get("late", 0) for window in target.windows) > 0
            assert any(window.doubts.get("errors") is Doubt.POINTS_DROPPED for window in target.windows)
