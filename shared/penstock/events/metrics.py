"""What ingestion measures: one event a target and interval, with every cohort and metric together."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from penstock.events.base import Event, Moment, Value


class Cohort(StrEnum):
    """Whose requests were measured; `a` and `b` are the halves of the permanent A/A split of the baseline."""

    CANARY = "canary"
    BASELINE = "baseline"
    A = "a"
    B = "b"


class Doubt(StrEnum):
    """What is wrong with a gate's telemetry; all but `bad_never_seen` leave the gate without a measure."""

    DEFAULT_BUCKETS = "default_buckets"
    MIXED_BUCKETS = "mixed_buckets"
    NO_BUCKETS = "no_buckets"
    NO_SUM = "no_sum"
    NEGATIVE_VALUES = "negative_values"
    WRONG_KIND = "wrong_kind"
    OTHER_UNIT = "other_unit"
    NO_TRAFFIC = "no_traffic"
    TOO_MANY_SERIES = "too_many_series"
    MORE_BAD_THAN_ALL = "more_bad_than_all"
    BAD_NEVER_SEEN = "bad_never_seen"
    UNATTRIBUTED = "unattributed"
    TWO_WRITERS = "two_writers"
    POINTS_DROPPED = "points_dropped"


class Outside(StrEnum):
    """Why events of a watched metric belong to no cohort: the SDK's overflow series, a variant that is neither canary
    nor control, or attributes that are absent."""

    OVERFLOW = "overflow"
    OTHER_VARIANT = "other_variant"
    NO_VARIANT = "no_variant"
    NO_FLAG = "no_flag"
    NO_VERSION = "no_version"


class Unattributed(Value):
    """Events of one gate in one window that belong to no cohort.

    Attributes:
        share: of all events of the gate; reasons: events by reason; values: a few variants that were seen.
    """

    share: float = Field(ge=0, le=1)
    reasons: dict[Outside, NonNegativeFloat] = Field(default_factory=dict)
    values: tuple[str, ...] = ()


class Missing(Value):
    """A gate of which no point has come since its metric is watched.

    Attributes:
        metric: that the gate names; names: the nearest metrics that the service sends, with their units.
        attributes: of the nearest; environments: others in which the service reports.
    """

    metric: str
    names: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()


class Halves(StrEnum):
    """How the A/A halves of the baseline were separated, from the most to the least independent: by the application's
    attribute `penstock.half`, by instance, or by turns of a single instance's exports."""

    ATTRIBUTE = "attribute"
    INSTANCES = "instances"
    TURNS = "turns"


class Closing(StrEnum):
    """What closed a window: every live source had reported past its end, event time had passed the lateness, or the
    wall clock had."""

    SOURCES = "sources"
    EVENT_TIME = "event_time"
    CLOCK = "clock"


class Ratio(Value):
    """`events` of `total` (errors of requests)."""

    kind: Literal["ratio"] = "ratio"
    events: NonNegativeFloat
    total: NonNegativeFloat


class ExponentialHistogram(Value):
    """OpenTelemetry base-2 exponential buckets: bucket `offset+i` holds (base^(offset+i), base^(offset+i+1)]."""

    kind: Literal["exponential"] = "exponential"
    count: NonNegativeInt
    sum: float
    scale: int = Field(ge=-10, le=20)
    zero_count: NonNegativeInt = 0
    offset: int = 0
    counts: tuple[NonNegativeInt, ...] = ()


class ExplicitHistogram(Value):
    """Fixed bucket edges: `counts` has one more entry than `bounds`; bucket i holds (bounds[i-1], bounds[i]]."""

    kind: Literal["explicit"] = "explicit"
    count: NonNegativeInt
    sum: float
    bounds: tuple[float, ...]
    counts: tuple[NonNegativeInt, ...]


class Gauge(Value):
    """Values of one instant over instances: `count` instances, their sum and sum of squares."""

    kind: Literal["gauge"] = "gauge"
    count: NonNegativeInt
    sum: float
    sumsq: NonNegativeFloat


class Count(Value):
    """`value` occurrences over `exposure` (share of traffic times seconds, so that cohorts compare)."""

    kind: Literal["count"] = "count"
    value: NonNegativeFloat
    exposure: NonNegativeFloat


Measure = Annotated[Ratio | ExponentialHistogram | ExplicitHistogram | Gauge | Count, Field(discriminator="kind")]


class WindowClosed(Event):
    """All that was measured of one target in one interval.

    Attributes:
        start, end: the interval, half open, UTC.
        seconds: its length.
        measures: cohort -> gate name of the plan -> measure. What nobody reported is absent: absent is not
            measured, never zero.
        split: share of requests (by the traffic gate's count) that the canary got, None without requests.
        requests: cohort -> requests by the traffic gate's count; cohorts that reported none of it are absent.
        late: points that arrived after their window had closed and were left out.
        sources: cohort -> sources that were alive at the end. 0 is told only where all of a cohort's sources report
            whether or not they are asked (cumulative values) and have missed three reports.
        unheard: cohort -> those of them of which a report was due in the window and had not come when it closed.
        resets: counters that went backwards in this window; their interval was left out.
        reset_gates: gate -> those of its series that did.
        export_interval: measured seconds between exports of the slowest source, None before it is known.
        first_sample_at: arrival of the window's first sample (for the latency histogram).
        halves: how `a` and `b` were separated, None where there are none.
        doubts: gate -> what is wrong with its telemetry.
        closed_by: what closed it.
        dropped: points left out since the window before, by reason: `late`, `too_old`, `too_many_series`, and what the
            doors refused.
        skew: source -> seconds by which its clock is ahead (negative: behind); it is taken out of its points' times.
        missing: gates of which no point has come yet, with what came instead.
        not_bad: gate without any bad event so far -> a few `attribute=value` that its conditions left out.
        unattributed: gate -> its events that belong to no cohort; gates without such events are absent.
    """

    type: Literal["window.closed"] = "window.closed"
    start: Moment
    end: Moment
    seconds: float = Field(gt=0)
    measures: dict[Cohort, dict[str, Measure]] = Field(default_factory=dict)
    split: float | None = Field(default=None, ge=0, le=1)
    requests: dict[Cohort, NonNegativeFloat] = Field(default_factory=dict)
    late: NonNegativeInt = 0
    sources: dict[Cohort, NonNegativeInt] = Field(default_factory=dict)
    unheard: dict[Cohort, NonNegativeInt] = Field(default_factory=dict)
    resets: NonNegativeInt = 0
    reset_gates: dict[str, NonNegativeInt] = Field(default_factory=dict)
    export_interval: float | None = None
    first_sample_at: Moment | None = None
    halves: Halves | None = None
    doubts: dict[str, Doubt] = Field(default_factory=dict)
    closed_by: Closing | None = None
    unattributed: dict[str, Unattributed] = Field(default_factory=dict)
    dropped: dict[str, NonNegativeInt] = Field(default_factory=dict)
    skew: dict[str, float] = Field(default_factory=dict)
    missing: dict[str, Missing] = Field(default_factory=dict)
    not_bad: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    def began_after(self, moment: datetime) -> bool:
        """Return whether the interval lies after a moment of Penstock's clock.

        Its start is as the sources stamp their points, and their clocks may be ahead: what was received before that
        moment lies before it, whatever its start.
        """
        return self.start >= moment and (self.received is None or self.received >= moment)


class WindowsRefused(Event):
    """The sources export too rarely for the plan's windows.

    Attributes:
        asked: the plan's window, seconds.
        export_interval: measured seconds between exports.
        widened_to: seconds used instead, None when the plan forbids widening and no window is closed.
    """

    type: Literal["windows.refused"] = "windows.refused"
    asked: float
    export_interval: float
    widened_to: float | None = None
