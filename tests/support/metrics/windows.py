"""Windows as ingestion would close them: seeded requests, an error ratio, an exponential latency histogram a cohort."""

from datetime import UTC, datetime, timedelta

import numpy as np

from penstock import ids
from penstock.events import Cohort, ExponentialHistogram, Measure, Ratio, WindowClosed

SCALE = 4
BASE = 2.0 ** (2.0**-SCALE)


def histogram(values: np.ndarray) -> ExponentialHistogram:
    """Return the exponential histogram (scale 4) of positive values, in seconds."""
    index = np.ceil(np.log(values) / np.log(BASE)).astype(int) - 1
    low = int(index.min())
    counts = np.bincount(index - low)
    return ExponentialHistogram(
        count=len(values), sum=float(values.sum()), scale=SCALE, offset=low, counts=tuple(int(c) for c in counts)
    )


def measures(rng: np.random.Generator, requests: int, error_share: float, slow_share: float) -> dict[str, Measure]:
    """Return gates `errors` and `p99` of one cohort; slow requests take eight times as long."""
    latency = rng.lognormal(mean=-3.0, sigma=0.25, size=requests)
    latency[rng.random(requests) < slow_share] *= 8.0
    return {
        "errors": Ratio(events=float(rng.binomial(requests, error_share)), total=float(requests)),
        "p99": histogram(latency),
    }


def window(
    target: str,
    number: int,
    began: datetime,
    *,
    seed: int = 0,
    seconds: float = 1.0,
    canary: int = 60,
    baseline: int = 60,
    canary_errors: float = 0.01,
    canary_slow: float = 0.0,
) -> WindowClosed:
    """Return window `number` since `began`; the same arguments give the same window."""
    rng = np.random.default_rng((seed, number))
    start = began + timedelta(seconds=seconds * number)
    end = start + timedelta(seconds=seconds)
    cohorts = {
        Cohort.CANARY: measures(rng, canary, canary_errors, canary_slow) if canary else {},
        Cohort.BASELINE: measures(rng, baseline, 0.01, 0.0),
        Cohort.A: measures(rng, baseline // 2, 0.01, 0.0),
        Cohort.B: measures(rng, baseline // 2, 0.01, 0.0),
    }
    return WindowClosed(
        id=ids.derive("window.closed", target, end.isoformat()),
        source="/penstock/metric_ingestion",
        target=target,
        time=end,
        start=start,
        end=end,
        seconds=seconds,
        measures={cohort: found for cohort, found in cohorts.items() if found},
        split=canary / (canary + baseline) if canary + baseline else None,
    )


def moment(second: float = 0.0) -> datetime:
    """Return a fixed instant, `second` seconds after a round one."""
    return datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
