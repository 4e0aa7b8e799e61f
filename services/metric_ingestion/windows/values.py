"""What a point can hold, and its arithmetic: differences of cumulative values, sums over series, coarser buckets."""

from bisect import bisect_left
from functools import lru_cache
from operator import add, sub

import msgspec

MOST_BUCKETS = 320
"""Exponential buckets kept after a merge: twice what an SDK sends, so one merge seldom costs resolution."""


class Explicit(msgspec.Struct, frozen=True, array_like=True, tag="x"):
    """A histogram of fixed edges; `counts` has one more entry than `bounds`."""

    count: int
    sum: float
    bounds: tuple[float, ...]
    counts: tuple[int, ...]


class Exponential(msgspec.Struct, frozen=True, array_like=True, tag="e"):
    """A base-2 exponential histogram of non-negative values."""

    count: int
    sum: float
    scale: int
    zero: int
    offset: int
    counts: tuple[int, ...]


Number = int | float
Value = Number | Explicit | Exponential


def convert_unit(value: Value, factor: float) -> Value:
    """Return a number or explicit histogram in another unit; exponential edges cannot be moved, and stay."""
    match value:
        case Explicit():
            return Explicit(value.count, value.sum * factor, _convert_bounds(value.bounds, factor), value.counts)
        case Exponential():
            return value
        case _:
            return value * factor


@lru_cache(maxsize=1024)
def _convert_bounds(bounds: tuple[float, ...], factor: float) -> tuple[float, ...]:
    # 7 ms must be the same edge as 0.007 s of another instance, whatever the multiplication leaves behind.
    return tuple(float(f"{bound * factor:.12g}") for bound in bounds)


def subtract(new: Value, old: Value) -> Value | None:
    """Return what was added since `old`; None where the value went backwards or changed its form (a reset)."""
    match new, old:
        case Explicit(), Explicit():
            return _subtract_explicit(new, old)
        case Exponential(), Exponential():
            return _subtract_exponential(new, old)
        case int() | float(), int() | float():
            return new - old if new >= old else None
        case _:
            return None


def _subtract_explicit(new: Explicit, old: Explicit) -> Explicit | None:
    if new.bounds != old.bounds:
        return None
    counts = tuple(map(sub, new.counts, old.counts))
    if new.count < old.count or min(counts) < 0:
        return None
    return Explicit(new.count - old.count, new.sum - old.sum, new.bounds, counts)


def _subtract_exponential(new: Exponential, old: Exponential) -> Exponential | None:
    scale = min(new.scale, old.scale)
    new, old = coarsen(new, scale), coarsen(old, scale)
    counts = list(new.counts)
    for index, count in enumerate(old.counts, old.offset - new.offset):
        if not count:
            continue
        if not 0 <= index < len(counts):
            return None
        counts[index] -= count
    if new.count < old.count or new.zero < old.zero or min(counts, default=0) < 0:
        return None
    return Exponential(new.count - old.count, new.sum - old.sum, scale, new.zero - old.zero, new.offset, tuple(counts))


def coarsen(value: Exponential, scale: int) -> Exponential:
    """Return the histogram at a lower scale: 2^(difference) neighbours become one bucket."""
    shift = value.scale - scale
    if shift <= 0:
        return value
    first = value.offset >> shift
    last = (value.offset + len(value.counts) - 1) >> shift
    counts = [0] * (last - first + 1 if value.counts else 0)
    for index, count in enumerate(value.counts, value.offset):
        counts[(index >> shift) - first] += count
    return Exponential(value.count, value.sum, scale, value.zero, first, tuple(counts))


def add_exponential(left: Exponential, right: Exponential) -> Exponential:
    """Return the sum, at the coarser scale of the two, or coarser still where it would hold too many buckets."""
    scale = min(left.scale, right.scale)
    left, right = _trim(coarsen(left, scale)), _trim(coarsen(right, scale))
    if not left.counts or not right.counts:
        filled = left if left.counts else right
        first, counts = filled.offset, filled.counts
    else:
        first = min(left.offset, right.offset)
        last = max(left.offset + len(left.counts), right.offset + len(right.counts))
        if last - first > MOST_BUCKETS:
            return add_exponential(coarsen(left, scale - 1), coarsen(right, scale - 1))
        counts = tuple(map(add, _pad(left, first, last), _pad(right, first, last)))
    return Exponential(left.count + right.count, left.sum + right.sum, scale, left.zero + right.zero, first, counts)


def _pad(value: Exponential, first: int, last: int) -> tuple[int, ...]:
    before, after = value.offset - first, last - value.offset - len(value.counts)
    return (0,) * before + value.counts + (0,) * after if before or after else value.counts


def _trim(value: Exponential) -> Exponential:
    # Differences of cumulative histograms keep the empty buckets of the whole; they would cost resolution in a merge.
    counts = value.counts
    if not counts or (counts[0] and counts[-1]):
        return value
    filled = [index for index, count in enumerate(counts) if count]
    if not filled:
        return Exponential(value.count, value.sum, value.scale, value.zero, 0, ())
    first, last = filled[0], filled[-1]
    return Exponential(value.count, value.sum, value.scale, value.zero, value.offset + first, counts[first : last + 1])


def add_explicit(left: Explicit, right: Explicit) -> Explicit:
    """Return the sum over the edges that both have: exact there, and nothing is guessed between them."""
    if left.bounds != right.bounds:
        shared = tuple(sorted(set(left.bounds) & set(right.bounds)))
        left, right = _rebound(left, shared), _rebound(right, shared)
    return Explicit(
        left.count + right.count,
        left.sum + right.sum,
        left.bounds,
        tuple(map(add, left.counts, right.counts)),
    )


def _rebound(value: Explicit, bounds: tuple[float, ...]) -> Explicit:
    counts = [0] * (len(bounds) + 1)
    for index, count in enumerate(value.counts):
        edge = value.bounds[index] if index < len(value.bounds) else float("inf")
        counts[bisect_left(bounds, edge)] += count
    return Explicit(value.count, value.sum, bounds, tuple(counts))
