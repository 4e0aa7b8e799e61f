"""What gate evaluation concludes after every window, with the numbers that it rests on."""

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from penstock.events.base import Event, Moment, Value
from penstock.events.metrics import Doubt


class Word(StrEnum):
    """The four verdicts, worst first: the verdict of several gates is the worst of theirs."""

    BREACH = "breach"
    NO_DATA = "no_data"
    INCONCLUSIVE = "inconclusive"
    PASSED = "passed"


class Authority(StrEnum):
    """What a gate's breach may do."""

    ROLLBACK = "rollback"
    HOLD = "hold"
    ADVISE = "advise"


class Direction(StrEnum):
    """Which way is worse."""

    UP = "up"
    DOWN = "down"
    BOTH = "both"


class NoDataReason(StrEnum):
    """Why a gate could not be judged; each has its own policy in the plan."""

    NO_TRAFFIC = "no_traffic"
    TELEMETRY_OUTAGE = "telemetry_outage"
    METRIC_NEVER_SEEN = "metric_never_seen"
    TOO_FEW_SAMPLES = "too_few_samples"
    LATE_DATA = "late_data"
    UNATTRIBUTED = "unattributed"


class Side(Value):
    """What one cohort showed: in this window `events` (errors, values beyond the edge compared, occurrences) of `n`
    (requests, instances, exposure); and the statistic of the rollout, in the metric's own unit."""

    n: float = 0
    events: float | None = None
    value: float | None = None


class Outlook(StrEnum):
    """How a gate is likely to end: a decision, or what the plan does at the end of a bake without one."""

    BREACH = "breach"
    PASSED = "passed"
    EXTENDED = "extended"
    HELD = "held"
    ROLLED_BACK = "rolled_back"
    BOUNDED = "bounded"


class Deciding(Value):
    """One way to decide a gate: a confidence bound of the difference, beside the line that it has to cross.

    Attributes:
        line: the tolerance (of a breach) or the pass margin (of a pass), as a signed relative difference from control.
        bound: what the evidence excludes; absent: nothing yet.
        absolute_line, absolute_bound: the same in the metric's own unit, where that makes sense.
        worse: `up`: a breach has its bound above the line, a pass below it; `down`: the other way round.
        error: chance that the bound is ever wrong, however often it is read.
    """

    line: float
    bound: float | None = None
    absolute_line: float | None = None
    absolute_bound: float | None = None
    worse: Direction = Direction.UP
    error: float


class GateVerdict(Value):
    """One gate after one window.

    Attributes:
        gate: its name in the plan.
        kind: ratio, quantile, mean, gauge, count, slo, burn_rate, own_history.
        word, final: the verdict; `final: false` is still watching.
        authority: what its breach may do.
        canary, baseline: what was measured; of `slo` and `burn_rate` the baseline is the budget, of `own_history` the
            canary is the whole service and the baseline what its past says.
        estimate: relative difference of canary against baseline (0.1 is +10 %); `low`, `high` its anytime-valid band.
            Values, estimate and band speak of the whole rollout, and the band holds the estimate; `detail.recent` is
            the difference over the recent windows.
        absolute, absolute_low, absolute_high: the same in the metric's own unit, where that makes sense.
        unit: unit of the absolute numbers.
        tolerance, tolerance_effective: the relative limit asked for, and the one that the buckets allow.
        evidence: log10 of the e-value against "within tolerance"; evidence_pass: against "beyond the pass margin".
        direction: which way is worse, `up` (when absent), `down` or `both`: the sign of the limit.
        threshold, threshold_pass: log10 limits of the two.
        windows_needed: further windows until the decision that `outlook` expects, at most to the end of the bake, or
            until there are samples enough; None when it cannot be predicted.
        no_data: why it could not be judged.
        doubt: what is wrong with its telemetry in this window, whether or not that left it unjudged.
        flags: such as `traffic_split`, `counter_reset`, `warm_up`, `snapped`.
        detail: further numbers of this kind of gate.
        fails, passes: what decides a breach and a pass. A breach has the bound of `fails` beyond its line, a pass that
            of `passes` short of its line; absent where the gate is not decided by a bound, or has no data.
        outlook: how the gate is likely to end; absent: too early to predict, or decided.
        decides_in: seconds after this window until then; decides_at: when that is.
    """

    gate: str
    kind: str
    word: Word
    final: bool = False
    authority: Authority = Authority.ROLLBACK
    canary: Side = Side()
    baseline: Side = Side()
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    absolute: float | None = None
    absolute_low: float | None = None
    absolute_high: float | None = None
    unit: str | None = None
    tolerance: float | None = None
    tolerance_effective: float | None = None
    direction: Direction | None = None
    evidence: float | None = None
    evidence_pass: float | None = None
    threshold: float | None = None
    threshold_pass: float | None = None
    windows_needed: int | None = None
    no_data: NoDataReason | None = None
    doubt: Doubt | None = None
    flags: tuple[str, ...] = ()
    detail: dict[str, Any] = Field(default_factory=dict)
    fails: Deciding | None = None
    passes: Deciding | None = None
    outlook: Outlook | None = None
    decides_in: float | None = None
    decides_at: Moment | None = None


class StageJudged(Event):
    """The verdict on a stage after one window.

    Attributes:
        stage: name of the stage judged; `entry` is the id of the event that entered it, so that a verdict on an earlier
            stage cannot promote a later one.
        window: id of the window event; window_end its end.
        judged: windows of this stage that counted, this one included.
        word, final: worst of the gates with authority; a breach is final at once.
        blamed: gates that breached.
        blocked_by: highest authority among the blamed: `rollback` rolls the release back, `hold` holds it.
        flags: for the whole comparison, such as `traffic_split`.
        judge: version of the judge.
        plan_hash: the plan it judged by.
    """

    type: Literal["stage.judged"] = "stage.judged"
    stage: str
    entry: str
    window: str
    window_end: Moment
    judged: int = Field(ge=0)
    word: Word
    final: bool = False
    gates: tuple[GateVerdict, ...] = ()
    blamed: tuple[str, ...] = ()
    blocked_by: Authority | None = None
    flags: tuple[str, ...] = ()
    judge: str
    plan_hash: str
    evidence: float | None = None
    threshold: float | None = None
