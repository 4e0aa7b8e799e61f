"""The verdict on a window: a word, whether it is final, and every number behind it, as values and as JSON."""

from enum import StrEnum
from typing import Any

import msgspec

from services.gate_evaluation.judge.versions import CURRENT

JUDGE_VERSION = CURRENT.version
"""Changes whenever the same windows could give another verdict; `versions` keeps the earlier ones."""


class Word(StrEnum):
    """The four verdicts; worst first in `WORST_FIRST`."""

    PASSED = "passed"
    BREACH = "breach"
    INCONCLUSIVE = "inconclusive"
    NO_DATA = "no_data"


WORST_FIRST = (Word.BREACH, Word.NO_DATA, Word.INCONCLUSIVE, Word.PASSED)


class NoData(StrEnum):
    """Why a gate could not be judged in a window; each has its own policy in the plan."""

    NO_TRAFFIC = "no_traffic"
    TELEMETRY_OUTAGE = "telemetry_outage"
    METRIC_NEVER_SEEN = "metric_never_seen"
    TOO_FEW_SAMPLES = "too_few_samples"
    LATE_DATA = "late_data"


class Reason(StrEnum):
    """Why the verdict is what it is."""

    EVIDENCE = "evidence"  # the weighted evidence of a breach passed 1/alpha
    CATASTROPHE = "catastrophe"  # most requests fail, or no canary instance lives
    ALL_EXCLUDED = "all_excluded"  # every gate excludes a degradation beyond its pass margin
    HELD = "held"  # a gate that may only hold is in breach
    WATCHING = "watching"  # the bake is not over
    BAKE_OVER = "bake_over"  # maximum bake reached without a decision
    SUSPICION = "suspicion"  # everything excluded, but evidence of harm is too high to pass
    TRAFFIC_SPLIT = "traffic_split"  # the split is not the configured one
    NOT_MEASURED = "not_measured"  # a gate has no data
    WARM_UP = "warm_up"  # the window does not count


class Outlook(StrEnum):
    """How a gate is likely to end within its bake."""

    BREACH = "breach"
    PASSED = "passed"
    UNDECIDED = "undecided"


class Deciding(msgspec.Struct, frozen=True):
    """One way to decide a gate: a bound of the relative difference, beside the line that it has to cross.

    Attributes:
        line: the tolerance or the pass margin, as a signed relative difference.
        bound: what the evidence excludes; None: nothing yet.
        down: the side below control is meant: a breach has its bound below the line, a pass above it. Otherwise a
            breach has its bound above the line, a pass below it.
        error: chance that the bound is ever wrong.
    """

    line: float
    bound: float | None
    down: bool
    error: float


class GateVerdict(msgspec.Struct, frozen=True):
    """One gate after one window.

    Attributes:
        word, final: this gate's own verdict; `final` when it may be acted on by the gate's authority.
        blamed: the gate alone carries a breach.
        counts: what was compared in this window, by name (events, totals, means), canary first.
        canary, baseline: the metric's value in either cohort over the whole rollout, in the metric's unit.
        estimate, estimate_absolute: relative and absolute difference of the two.
        low, high: anytime-valid interval (1 - alpha) of the relative difference; None is unbounded. It holds the
            estimate: where the difference changed during the rollout it is wider than its evidence.
        recent: relative difference over the recent windows.
        log10_f, log10_p: evidence of harm, and against harm beyond the pass margin.
        tolerance_asked, tolerance_effective, pass_asked, pass_effective: relative; effective after snapping to buckets.
        limit_absolute: the tolerance in the metric's unit at the present baseline.
        windows_needed: further windows until the likely decision, `outlook`, at the present estimate, never more than
            the bake has left; None: unknown or decided. Of a gate with too few samples: windows until there are enough.
        samples_needed: canary requests (or instances x windows) in those windows.
        no_data: why the gate was not judged in this window.
        detail: numbers of this kind only (dispersion, scale, edges, spans), by name.
        fails, passes: what decides a breach and a pass; None where the gate has no such bound, or no data.
        outlook: the likely decision; undecided: the bake is likely to end without one.
    """

    name: str
    kind: str
    authority: str
    word: Word
    final: bool
    blamed: bool
    weight: float
    counts: dict[str, float]
    canary: float | None
    baseline: float | None
    estimate: float | None
    estimate_absolute: float | None
    low: float | None
    high: float | None
    log10_f: float
    log10_p: float
    tolerance_asked: float
    tolerance_effective: float
    pass_asked: float
    pass_effective: float
    limit_absolute: float | None
    windows_needed: int | None
    samples_needed: float | None
    no_data: NoData | None
    detail: dict[str, float]
    recent: float | None = None
    fails: Deciding | None = None
    passes: Deciding | None = None
    outlook: Outlook | None = None


class WindowVerdict(msgspec.Struct, frozen=True):
    """The verdict on one window.

    Attributes:
        word, final: `inconclusive` with `final` False means: keep watching.
        reason: why, as a closed set; `gates` carries the numbers.
        flags: `traffic_split`, `late`, `reset`, `warm_up`.
        log10_f: evidence of harm, weighted over gates with rollback authority.
        log10_limit: what it takes (log10 of 1/alpha).
        blamed: gates that carry the breach alone; otherwise all gates, most evidence first.
        judged, stage_judged: windows that counted, in the rollout and in this stage.
    """

    word: Word
    final: bool
    reason: Reason
    flags: tuple[str, ...]
    log10_f: float
    log10_limit: float
    blamed: tuple[str, ...]
    judged: int
    stage_judged: int
    split_log10: float
    gates: tuple[GateVerdict, ...]
    judge_version: str = JUDGE_VERSION

    def to_doc(self) -> dict[str, Any]:
        """Return the verdict as JSON-able values."""
        doc: dict[str, Any] = msgspec.to_builtins(self)
        return doc
