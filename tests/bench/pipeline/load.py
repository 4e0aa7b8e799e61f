"""The work of `penstock bench pipeline`: a plan of many short stages, and windows each of which ends one. Pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from penstock import ids
from penstock.chain import Record, digest_of, encode
from penstock.chain.record import digest
from penstock.events import Cohort, DeployAnnounced, Ratio, Release, WindowClosed, to_json

STAGES = 21
_STEP = 0.04
_REQUESTS = 1_000_000.0
_ERRORS = 0.01


def target_of(number: int) -> str:
    """Return the key of a target."""
    return f"bench/bench/flag-{number}"


def plan_of(target: str) -> str:
    """Return a plan whose stages each end with their first window."""
    stages = "".join(
        f"  - {{name: s{place}, exposure: {100 * _STEP * (place + 1):.0f}%, bake: {{min: 1, max: 50}}}}\n"
        for place in range(STAGES)
    )
    return f"""\
version: 1
name: bench
target: {{environment: bench, service: bench, flag: {target.rpartition("/")[2]}}}
owners: [bench]
windows: {{length: 1s}}
gates:
  errors:
    kind: ratio
    metric: requests
    bad: {{code: "5*"}}
    tolerance: {{relative: 100%, absolute: 1pp}}
    pass_margin: {{relative: 400%, absolute: 10pp}}
stages:
{stages}dead_man: {{after: 7d, action: hold}}
"""


def deploy_of(target: str, now: datetime) -> DeployAnnounced:
    """Return the announcement that starts the target's rollout."""
    return DeployAnnounced(
        id=ids.derive("bench", target),
        source="/penstock/bench",
        target=target,
        time=now,
        release=Release(service="bench", version="1"),
        plan_text=plan_of(target),
        actor="bench",
        grants=("announce", "plan"),
    )


def windows_of(target: str, began: datetime) -> Iterator[WindowClosed]:
    """Yield the windows that each let one more stage pass, but for the last stage's: event time, a second each."""
    for place in range(STAGES - 1):
        share = _STEP * (place + 1)
        start, end = began + timedelta(seconds=place), began + timedelta(seconds=place + 1)
        yield WindowClosed(
            id=ids.derive("window.closed", target, end.isoformat()),
            source="/penstock/bench",
            target=target,
            time=end,
            start=start,
            end=end,
            seconds=1.0,
            measures={
                cohort: {"errors": Ratio(events=part * _REQUESTS * _ERRORS, total=part * _REQUESTS)}
                for cohort, part in ((Cohort.CANARY, share), (Cohort.BASELINE, 1.0 - share))
            },
            split=share,
        )


class WindowLog:
    """The window log's chains, one a partition, as ingestion would write them."""

    def __init__(self, geneses: list[str]) -> None:
        self._heads = list(geneses)

    def value_of(self, partition: int, window: WindowClosed) -> bytes:
        """Return the next record's bytes."""
        record = Record(
            prev=self._heads[partition],
            cursor={},
            target=window.target,
            events=(to_json(window),),
            state=digest_of({}),
            time=to_json(window)["time"],
            code="bench",
        )
        value = encode(record)
        self._heads[partition] = digest(value)
        return value
