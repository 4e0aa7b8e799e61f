"""Why a gate is measured or is not: what arrived for it, what was ignored, and what to change."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from penstock.events import Cohort, Doubt, Outside, WindowClosed

_DOUBTS = {
    Doubt.DEFAULT_BUCKETS: "the SDK's default edges are made for milliseconds: use exponential histograms or own edges",
    Doubt.MIXED_BUCKETS: "sources send histograms that have no edges in common: send one kind",
    Doubt.NO_BUCKETS: "the histogram has no buckets: configure the instrument",
    Doubt.NO_SUM: "the histogram has no sum: configure the instrument",
    Doubt.NEGATIVE_VALUES: "a latency is negative: look at the instrument",
    Doubt.WRONG_KIND: "the metric is of another kind than the gate needs: name another one in the plan",
    Doubt.OTHER_UNIT: "the metric's unit is not stated or is no size of the gate's: set `unit` or `assume_unit`",
    Doubt.NO_TRAFFIC: "no gate counts requests, which a count needs: add a ratio or a quantile gate",
    Doubt.TOO_MANY_SERIES: "the target has more than 20,000 series: leave out attributes such as user ids",
    Doubt.MORE_BAD_THAN_ALL: "there were more bad events than events: name a `bad_metric` that counts some of the same",
    Doubt.BAD_NEVER_SEEN: "no bad event was ever seen: a service without errors, or a condition that does not match",
    Doubt.UNATTRIBUTED: "too many events belong to no cohort",
    Doubt.TWO_WRITERS: "two processes write one series: give each a `service.instance.id`",
    Doubt.POINTS_DROPPED: "more than 1 % of the points were left out",
}

_OUTSIDE = {
    Outside.OVERFLOW: "in the SDK's overflow series: leave out attributes with many values, or raise its limit",
    Outside.OTHER_VARIANT: "of a variant that is neither canary nor baseline in the plan",
    Outside.NO_VARIANT: "without `feature_flag.result.variant`",
    Outside.NO_FLAG: "without `feature_flag.key`: tag the measurement, or exclude it by `where`",
    Outside.NO_VERSION: "without `service.version` on the resource",
}


def explained(windows: Sequence[WindowClosed], gate: str | None) -> list[dict[str, Any]]:
    """Return one document a gate, of the windows of one target.

    Keys: `target`, `gate`, `windows`, `measured` (windows by cohort), `reasons` (sentences, most frequent first).
    """
    measured: dict[str, Counter[str]] = {}
    reasons: dict[str, Counter[str]] = {}
    for window in windows:
        for cohort, gates in window.measures.items():
            for name in gates if cohort in {Cohort.CANARY, Cohort.BASELINE} else ():
                measured.setdefault(name, Counter())[cohort.value] += 1
        for name, sentence in _reasons(window):
            reasons.setdefault(name, Counter())[sentence] += 1
    names = sorted({*measured, *reasons} - {""})
    common = reasons.get("", Counter())
    return [
        {
            "target": windows[-1].target,
            "gate": name,
            "windows": len(windows),
            "measured": {cohort: measured.get(name, Counter())[cohort] for cohort in ("canary", "baseline")},
            "reasons": [sentence for sentence, _ in (reasons.get(name, Counter()) + common).most_common()],
        }
        for name in names
        if gate is None or name == gate
    ]


def _reasons(window: WindowClosed) -> Iterator[tuple[str, str]]:
    """Yield gate and sentence; the gate is empty for what concerns all of them."""
    for gate, doubt in window.doubts.items():
        yield gate, f"{doubt.value}: {_DOUBTS[doubt]}"
    for gate, values in window.not_bad.items():
        yield gate, f"values that the conditions for bad events left out: {', '.join(values)}"
    for gate, outside in window.unattributed.items():
        for reason in outside.reasons:
            named = f" ({', '.join(outside.values)})" if outside.values and reason is Outside.OTHER_VARIANT else ""
            yield gate, f"events {_OUTSIDE[reason]}{named}"
    for gate, missing in window.missing.items():
        yield from ((gate, sentence) for sentence in _missing(missing.metric, missing.names, missing))
    for dropped in window.dropped:
        yield "", f"points were left out: {dropped.replace('_', ' ')}"
    for source, seconds in window.skew.items():
        side = "ahead" if seconds > 0 else "behind"
        yield "", f"the clock of {source} is {side} by about {abs(seconds):.0f} s, which is taken out"
    if any(window.unheard.values()):
        yield "", "sources owed a report when the window closed"


def _missing(metric: str, names: Sequence[str], found: Any) -> Iterator[str]:
    if any(name.split(" [")[0] == metric for name in names):
        yield f"{metric} arrives, but no point of it meets `where` and the flag; it has: {', '.join(found.attributes)}"
    elif names:
        yield f"no point of {metric} has come; the service sends: {', '.join(names)}"
        if found.attributes:
            yield f"{names[0].split(' [')[0]} has the attributes {', '.join(found.attributes)}"
    else:
        yield f"no point of {metric} has come, and nothing else of the service in this environment"
    if found.environments:
        where = ", ".join(environment or "no environment at all" for environment in found.environments)
        yield f"the service reports in other environments: {where}"
