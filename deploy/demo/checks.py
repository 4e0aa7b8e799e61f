"""What the demo promises, each as one check of what was recorded; `--check` fails on the first that does not hold."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from penstock.events import NoDataReason, RollbackStarted, StageEntered, StagePassed
from penstock.rollout import Phase

from .receiver import Received
from .story import Rollback, Story, recovered, rollback_of, webhook_step_done

MOST_WINDOWS = 15
"""Windows of a second within which the bad release has to be found."""
USUAL_MEAN_CHECK = 0.25
LEAST_REQUESTS = 300
"""The candidate's requests that a passed stage must rest on."""


@dataclass(frozen=True)
class Check:
    """One promise: its text, whether it held, and the numbers."""

    promise: str
    held: bool
    numbers: str


@dataclass(frozen=True)
class Outside:
    """What was tried from outside: the deliveries received, the replay's exit code, the postmortem's text."""

    received: Sequence[Received]
    replay: int
    replay_says: str
    postmortem: str


def checks(good: Story, bad: Story, same: Story, unmeasured: Story, outside: Outside) -> list[Check]:
    """Return every promise with its outcome."""
    return [
        *_promoted(good, stages=3),
        *_rolled_back(bad),
        *_left_alone(same),
        *_held(unmeasured),
        *_delivered(bad, outside),
        *_on_record(bad, outside),
    ]


def _promoted(story: Story, stages: int) -> Iterator[Check]:
    passed = [event.stage for event in story.all(StagePassed) if not event.override]
    yield Check(
        f"the good release was promoted through {stages} stages",
        story.phase is Phase.COMPLETED and len(passed) == stages,
        f"phase {story.phase}, passed {', '.join(passed) or 'none'}",
    )
    fewest = min((_requests(story, stage) for stage in passed), default=0.0)
    yield Check(
        f"each passed stage rests on at least {LEAST_REQUESTS} requests of the candidate",
        fewest >= LEAST_REQUESTS,
        f"fewest {fewest:.0f}",
    )


def _requests(story: Story, stage: str) -> float:
    verdicts = [verdict for verdict in story.verdicts if verdict.stage == stage]
    windows = {verdict.window for verdict in verdicts}
    return sum(
        measure.total
        for window in story.windows
        if window.id in windows
        for cohort, gates in window.measures.items()
        for gate, measure in gates.items()
        if cohort == "canary" and gate == "errors" and measure.kind == "ratio"
    )


def _rolled_back(story: Story) -> Iterator[Check]:
    found = rollback_of(story)
    yield Check(
        "the bad release was rolled back by a gate",
        story.phase is Phase.ROLLED_BACK and found is not None and "p99" in found.blamed,
        f"phase {story.phase}, blamed {', '.join(found.blamed) if found else 'nothing'}",
    )
    if found is not None:
        yield from _evidence(found)
    yield Check("the service was seen to recover", recovered(story), "recovery.verified" if recovered(story) else "-")


def _evidence(found: Rollback) -> Iterator[Check]:
    yield Check(
        f"it was found within {MOST_WINDOWS} windows of 1 s",
        found.windows <= MOST_WINDOWS,
        f"{found.windows} windows, {found.detect:.1f} s after the first bad sample, {found.samples} requests",
    )
    yield Check(
        f"its slow requests were few and at least {found.factor:.0f} times slower",
        0.01 <= found.slow <= 0.08,
        f"{100 * found.slow:.1f} % of requests, p99 {100 * found.p99:+.0f} %",
    )
    yield Check(
        "its median was unchanged and a usual check of the mean would have passed it",
        abs(found.median) <= 0.10 and found.mean < USUAL_MEAN_CHECK,
        f"median {100 * found.median:+.0f} %, mean {100 * found.mean:+.0f} % (usual limit +25 %)",
    )
    yield Check(
        "every flag client was sent the safe version within the plan's deadline",
        found.contained is not None and found.contained <= 5.0,
        "-" if found.contained is None else f"{1000 * found.contained:.0f} ms after the decision",
    )


def _left_alone(story: Story) -> Iterator[Check]:
    yield Check(
        "the A/A release was not rolled back",
        story.first(StageEntered) is not None and story.first(RollbackStarted) is None,
        f"phase {story.phase}",
    )


def _held(story: Story) -> Iterator[Check]:
    last = story.verdicts[-1] if story.verdicts else None
    reasons = [gate.no_data for gate in last.gates if gate.no_data] if last is not None else []
    yield Check(
        "the release with a gate that nobody reports to was held, neither promoted nor rolled back",
        story.phase is Phase.HELD and NoDataReason.METRIC_NEVER_SEEN in reasons,
        f"phase {story.phase}, {', '.join(reasons) or 'no reason'}",
    )


def _delivered(story: Story, outside: Outside) -> Iterator[Check]:
    started = story.first(RollbackStarted)
    sent = [one for one in outside.received if started is not None and one.id == started.id]
    yield Check(
        "a subscriber received the rollback as a signed webhook and verified it",
        any(one.verified and one.path == "/events" for one in sent),
        f"{len(outside.received)} deliveries, all verified: {all(one.verified for one in outside.received)}",
    )
    yield Check(
        "the plan's own signed webhook was answered",
        webhook_step_done(story) and any(one.path == "/hooks/ci" and one.verified for one in outside.received),
        "step.completed tell-ci" if webhook_step_done(story) else "-",
    )


def _on_record(story: Story, outside: Outside) -> Iterator[Check]:
    started = story.first(RollbackStarted)
    yield Check("`penstock replay` reproduces the rollback", outside.replay == 0, outside.replay_says)
    yield Check(
        "a postmortem draft was written, with the rollback's event id",
        started is not None and started.id in outside.postmortem,
        f"{len(outside.postmortem.splitlines())} lines",
    )
