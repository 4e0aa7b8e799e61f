"""Measures of one cohort in one window: aggregates only, checked on construction, so that gates need not."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from penstock.errors import InvalidError, Problem


class MeasureError(InvalidError):
    """A measure that cannot be true: negative, not finite, or contradicting itself. It is never judged."""


def _refuse(kind: str, where: str, what: str) -> MeasureError:
    return MeasureError(kind, [Problem(where, what)])


_LEAST, _MOST = 1e-18, 1e18
_LARGEST_SUM = 1e120
"""Beyond these nothing is measured, and products of two measures would leave the range of a double."""


def _amount(kind: str, **values: float) -> None:
    for name, value in values.items():
        if not (isinstance(value, (int, float)) and (value == 0 or _LEAST <= value <= _MOST)):
            raise _refuse(kind, name, f"{value!r} is neither 0 nor between {_LEAST:g} and {_MOST:g}")


def _total(kind: str, value: float) -> None:
    if not (value == 0 or 1.0 / _LARGEST_SUM <= abs(value) <= _LARGEST_SUM):
        raise _refuse(kind, "sum", f"{value!r} is no sum of measured values")


@dataclass(frozen=True, slots=True)
class Ratio:
    """`events` (errors, conversions) among `total` (requests, visits)."""

    events: float
    total: float

    def __post_init__(self) -> None:
        _amount("ratio", events=self.events, total=self.total)
        if self.events > self.total:
            raise _refuse("ratio", "events", f"{self.events} events among {self.total}")


@dataclass(frozen=True, slots=True)
class Count:
    """`value` things counted over `exposure` (traffic weight x seconds, instances x seconds)."""

    value: float
    exposure: float

    def __post_init__(self) -> None:
        _amount("count", value=self.value, exposure=self.exposure)


@dataclass(frozen=True, slots=True)
class Gauge:
    """Values of `count` instances: their sum and the sum of their squares."""

    count: float
    sum: float
    sumsq: float = 0.0

    def __post_init__(self) -> None:
        _amount("gauge", count=self.count)
        _total("gauge", self.sum)
        if 0 < self.count < 1:
            raise _refuse("gauge", "count", f"{self.count!r} is less than one instance")
        if not (math.isfinite(self.sumsq) and self.sumsq >= 0):
            raise _refuse("gauge", "sumsq", f"{self.sumsq!r} is not a finite number >= 0")


@dataclass(frozen=True, slots=True)
class ExponentialHistogram:
    """Base-2 buckets: `counts[i]` values lie in (base^(offset+i), base^(offset+i+1)], base = 2^(2^-scale)."""

    count: float
    sum: float
    scale: int
    zero_count: float
    offset: int
    counts: Sequence[float]

    def __post_init__(self) -> None:
        _amount("histogram", count=self.count, zero_count=self.zero_count)
        _total("histogram", self.sum)
        if not -10 <= self.scale <= 20 or len(self.counts) > 4096 or abs(self.offset) > 1 << 31:
            raise _refuse("histogram", "scale", "scale outside -10 .. 20, or more than 4096 buckets")
        _filled("histogram", self.counts, self.count - self.zero_count)


@dataclass(frozen=True, slots=True)
class ExplicitHistogram:
    """Fixed `bounds`: `counts[i]` values lie in (bounds[i-1], bounds[i]]; there is one more count than bounds."""

    bounds: Sequence[float]
    counts: Sequence[float]
    sum: float

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.bounds) + 1 or len(self.bounds) > 4096:
            raise _refuse("histogram", "counts", f"{len(self.counts)} counts for {len(self.bounds)} bounds")
        if any(not low < high for low, high in zip(self.bounds, self.bounds[1:], strict=False)):
            raise _refuse("histogram", "bounds", "bounds do not rise")
        _total("histogram", self.sum)
        if not all(map(math.isfinite, self.bounds)):
            raise _refuse("histogram", "bounds", "bounds must be finite")
        _filled("histogram", self.counts, None)

    @property
    def count(self) -> float:
        """Number of values in all buckets."""
        return math.fsum(self.counts)


def _filled(kind: str, counts: Sequence[float], expected: float | None) -> None:
    if len(counts) and not min(counts) >= 0:
        raise _refuse(kind, "counts", "a bucket is negative or not a number")
    total = sum(counts)
    if not total <= _MOST or (expected is not None and abs(total - expected) > 0.5 + 1e-9 * total):
        raise _refuse(kind, "counts", f"buckets hold {total}, count and zero_count say {expected}")


Measure = Ratio | Count | Gauge | ExponentialHistogram | ExplicitHistogram


@dataclass(frozen=True, slots=True)
class Cohort:
    """One cohort's measures by metric name.

    Attributes:
        measures: what was measured; a metric that is absent was not measured (never zero).
        requests: requests served, for the traffic split; None when the source does not say.
        live: live instances, if known; 0 is a catastrophe in the canary.
    """

    measures: Mapping[str, Measure] = field(default_factory=dict)
    requests: float | None = None
    live: int | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """All cohorts of one target over one interval.

    Attributes:
        canary, baseline: the two cohorts compared; None when nothing arrived from one.
        a, b: the two halves of the stable fleet (the permanent A/A split).
        late: the window closed without some source's data.
        resets: metrics whose counters went backwards: they update nothing in this window.
        seconds: length, where it differs from the plan's.
        epoch: start of the window in seconds, where the source knows it (time of day, for own-history gates).
    """

    canary: Cohort | None = None
    baseline: Cohort | None = None
    a: Cohort | None = None
    b: Cohort | None = None
    late: bool = False
    resets: frozenset[str] = frozenset()
    seconds: float | None = None
    epoch: float | None = None
