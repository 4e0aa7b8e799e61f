"""The account at the end: what was found, how fast, who was exposed; from the events, and as the users saw it."""

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.events import Cohort, RolloutHeld, StagePassed

from .checks import Check
from .features import CANDIDATE
from .load import Response
from .story import FACTOR, Story, rollback_of, served_safe_ms


@dataclass(frozen=True)
class Seen:
    """What the users saw of a candidate: seconds from the first slow answer to the last one that the candidate gave."""

    slow_to_safe: float
    users: int
    requests: int


def seen_by_users(responses: Sequence[Response], flag: str, median: float) -> Seen | None:
    """Return what users saw of a flag's candidate; None if none of its answers was slow.

    Args:
        median: of control, seconds.
    """
    given = [response for response in responses if response.flag == flag and response.variant == CANDIDATE]
    slow = [response for response in given if response.seconds >= FACTOR * median]
    if not slow:
        return None
    last = max(response.ended for response in given)
    return Seen(last - min(response.ended for response in slow), len({one.user for one in given}), len(given))


def account(good: Story, bad: Story, same: Story, unmeasured: Story, responses: Sequence[Response]) -> list[str]:
    """Return the lines that say what happened."""
    stages = [event.stage for event in good.all(StagePassed)]
    held = unmeasured.first(RolloutHeld)
    latency = same.latency(Cohort.CANARY)
    judged = latency.count if latency is not None else 0
    return [
        f"{good.feature.flag} {good.feature.version}: {_phase(good)} through {', '.join(stages) or 'no stage'}; "
        f"{good.requests} requests and {good.users} users on it while it was judged.",
        *_bad(bad, responses),
        f"{same.feature.flag} {same.feature.version} (A/A): {_phase(same)} after {judged} requests.",
        f"{unmeasured.feature.flag} {unmeasured.feature.version}: {_phase(unmeasured)}"
        + (f" ({held.ground.why.replace('_', ' ')})." if held is not None else "."),
    ]


def _phase(story: Story) -> str:
    return str(story.phase).replace("_", " ")


def _bad(story: Story, responses: Sequence[Response]) -> list[str]:
    found = rollback_of(story)
    if found is None:
        return [f"{story.feature.flag} {story.feature.version}: {_phase(story)}; no gate has breached."]
    served = served_safe_ms(story)
    contained = f"{1000 * found.contained:.0f} ms" if found.contained is not None else "not contained"
    lines = [
        f"{story.feature.flag} {story.feature.version}: {_phase(story)}, blamed {', '.join(found.blamed)}.",
        f"  what a mean shows   mean {100 * found.mean:+.0f} %, median {100 * found.median:+.0f} %: "
        "a check of the mean at +25 % passes it",
        f"  what the p99 shows  {100 * found.p99:+.0f} %; {100 * found.slow:.1f} % of requests at least "
        f"{found.factor:.0f} times slower",
        f"  seconds to detect   {found.detect:.1f} s after the first bad sample ({found.windows} windows, "
        f"{found.samples} requests of the candidate)",
        f"  seconds to safe     {contained} after the decision"
        + (f", flags served safe after {served:.0f} ms" if served is not None else ""),
        f"  users exposed       {story.users} ({story.requests} requests)",
    ]
    baseline = story.latency(Cohort.BASELINE)
    seen = seen_by_users(responses, story.feature.flag, baseline.quantile(0.5)) if baseline is not None else None
    if seen is not None:
        lines.append(
            f"  as users saw it     {seen.slow_to_safe:.1f} s from the first slow answer to the candidate's last; "
            f"{seen.users} users, {seen.requests} answers"
        )
    return lines


def table_of(checks: Sequence[Check]) -> list[str]:
    """Return a line a check."""
    return [f"{'ok  ' if check.held else 'FAIL'} {check.promise} [{check.numbers}]" for check in checks]
