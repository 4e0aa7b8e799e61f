"""The wire form of `metric-frames`: one request's samples of one target, in columns, as MessagePack."""

from enum import StrEnum

import msgspec

from penstock.errors import InvalidError, Problem
from services.metric_ingestion.windows.values import Explicit, Exponential, Number

VERSION = 1


class Role(StrEnum):
    """What a series is to a gate."""

    TOTAL = "total"
    BAD = "bad"
    AMOUNT = "amount"
    DISTRIBUTION = "distribution"
    LEVEL = "level"


class Temporality(StrEnum):
    """How the values of a series relate to each other."""

    CUMULATIVE = "cumulative"
    DELTA = "delta"
    LEVEL = "level"


class Part(msgspec.Struct, frozen=True, array_like=True):
    """One gate that a series counts for; with a `doubt` it only states why it cannot.

    Attributes:
        factor: from the unit of the series to the gate's; unit: the series' own, where the gate states none.
    """

    gate: str
    role: Role
    doubt: str = ""
    factor: float = 1.0
    unit: str = ""


class Series(msgspec.Struct, frozen=True, array_like=True):
    """A series of points.

    Attributes:
        key: hash of resource, scope, metric and attributes.
        source: hash of the resource instance, whose exports are one clock.
        cohort: `canary`, `baseline`, or empty for none; half: `a`, `b`, or empty where it is not stated.
        outside: why it belongs to no cohort, or empty; value: the variant that it names.
        unmatched: gate and `attribute=value`, where the gate's conditions for bad events do not match.
        instance: name of the source, for people.
    """

    key: str
    source: str
    cohort: str
    half: str
    temporality: Temporality
    parts: tuple[Part, ...]
    outside: str = ""
    value: str = ""
    unmatched: tuple[tuple[str, str], ...] = ()
    instance: str = ""


class Hint(msgspec.Struct, frozen=True, array_like=True):
    """What arrived where a gate's metric did not.

    Attributes:
        metric: that the gate names; names: nearest metrics of the service, with their units.
        attributes: of the nearest; environments: others in which the service reports.
    """

    metric: str
    names: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()


class Numbers(msgspec.Struct, array_like=True):
    """Points of sums and gauges; times in Unix nanoseconds, `series` the place in the frame's table."""

    series: list[int] = []
    start: list[int] = []
    time: list[int] = []
    value: list[Number] = []


class Explicits(msgspec.Struct, array_like=True):
    """Points of explicit histograms; `shape` the place in the frame's table of bounds."""

    series: list[int] = []
    start: list[int] = []
    time: list[int] = []
    count: list[int] = []
    sum: list[float] = []
    shape: list[int] = []
    counts: list[tuple[int, ...]] = []


class Exponentials(msgspec.Struct, array_like=True):
    """Points of exponential histograms."""

    series: list[int] = []
    start: list[int] = []
    time: list[int] = []
    count: list[int] = []
    sum: list[float] = []
    scale: list[int] = []
    zero: list[int] = []
    offset: list[int] = []
    counts: list[tuple[int, ...]] = []


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """Samples of one target.

    Attributes:
        version: of this form.
        received: when the door had them, Unix nanoseconds.
        length: of the plan's windows, nanoseconds; plan: its hash.
        trace: W3C traceparent of the request that carried the samples, or empty.
        hints: gate -> what arrived, where nothing came for it.
        rejected: points that the door left out, by reason.
        door: the door's name where it may have older samples unread; low: nothing older than this is to come from it,
            Unix nanoseconds, 0 once it has read everything.
    """

    version: int
    received: int
    length: int
    plan: str
    trace: str
    series: tuple[Series, ...]
    shapes: tuple[tuple[float, ...], ...]
    numbers: Numbers
    explicits: Explicits
    exponentials: Exponentials
    rejected: dict[str, int] = {}
    door: str = ""
    low: int = 0
    hints: dict[str, Hint] = {}

    def explicit(self, row: int) -> Explicit:
        """Return the value of a row of `explicits`."""
        table = self.explicits
        return Explicit(table.count[row], table.sum[row], self.shapes[table.shape[row]], table.counts[row])

    def exponential(self, row: int) -> Exponential:
        """Return the value of a row of `exponentials`."""
        table = self.exponentials
        return Exponential(
            table.count[row],
            table.sum[row],
            table.scale[row],
            table.zero[row],
            table.offset[row],
            table.counts[row],
        )


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Frame)


def encode(frame: Frame) -> bytes:
    """Return the frame's bytes."""
    return _encoder.encode(frame)


def decode(value: bytes) -> Frame:
    """Return the frame of these bytes.

    Raises:
        InvalidError: they are none, or of a newer version.
    """
    try:
        frame = _decoder.decode(value)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidError("metric frame", [Problem("", str(error))]) from None
    if frame.version != VERSION:
        raise InvalidError("metric frame", [Problem("version", f"{frame.version} is not known; this is {VERSION}")])
    return frame
