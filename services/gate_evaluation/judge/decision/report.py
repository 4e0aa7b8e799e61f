"""Builds a gate's verdict from its evidence: estimate, interval, deciding bounds, margins, outlook."""

import math

import msgspec

from services.gate_evaluation.judge.arrays import Floats
from services.gate_evaluation.judge.decision.deciding_bounds import Levels, consistent, deciding_bounds
from services.gate_evaluation.judge.decision.outlook import Prediction
from services.gate_evaluation.judge.decision.rule import Bake, Standing, breached
from services.gate_evaluation.judge.evidence.gate_rows import crossing
from services.gate_evaluation.judge.evidence.reading import Description, Reading
from services.gate_evaluation.judge.gates.layout import GateLayout
from services.gate_evaluation.judge.spec import GateKind, GateSpec
from services.gate_evaluation.judge.verdict import Deciding, GateVerdict, Outlook, Word

_LN10 = math.log(10.0)


class GateView(msgspec.Struct, frozen=True):
    """All that is known of one gate after a window.

    Attributes:
        nulls: ln T0 of the interval's rows in this window; None: those of the layout.
        missing: consecutive windows without data.
        from_zero: F is tested against "no change" instead of the tolerance.
        prediction: of its outcome, None where it is too early or nothing is left to decide.
    """

    gate: GateSpec
    standing: Standing
    reading: Reading
    description: Description
    layout: GateLayout
    nulls: Floats | None
    missing: int
    from_zero: bool = False
    prediction: Prediction | None = None


def gate_verdict(view: GateView, log_e: list[float], bake: Bake, alpha: float, alpha_pass: float) -> GateVerdict:
    """Return the gate's verdict; `log_e` holds the log evidence of every row."""
    gate, standing, seen = view.gate, view.standing, view.description
    recent = relative = _relative(seen.canary, seen.baseline)
    canary, baseline = seen.canary, seen.baseline
    if seen.whole is not None:
        canary, baseline = seen.whole
        relative = _relative(canary, baseline)
    low, high, moved = _interval(view, log_e, alpha)
    if relative is not None:
        # A wider band covers no less, and a reader finds the estimate inside it.
        low = low if low is None or low < relative else relative
        high = high if high is None or high > relative else relative
    word, final = _word(standing, bake, alpha, alpha_pass)
    fails, passes = _deciding(view, log_e, alpha, alpha_pass)
    fails, passes = consistent(fails, passes, relative, breach=word is Word.BREACH, passed=word is Word.PASSED)
    ahead = None if final or standing.no_data is not None else view.prediction
    windows = view.reading.needs if standing.no_data is not None else None
    if ahead is not None:
        windows = max(ahead.due - bake.judged, 1)
    each = view.reading.counts.get("canary_total", 0.0)
    detail = dict(seen.detail, missing=float(view.missing))
    if moved:
        detail["moved"] = 1.0
    return GateVerdict(
        name=gate.name,
        kind=str(gate.kind),
        authority=str(gate.authority),
        word=word,
        final=final,
        blamed=word is Word.BREACH,
        weight=standing.weight,
        counts=view.reading.counts,
        canary=canary,
        baseline=baseline,
        estimate=relative,
        estimate_absolute=None if canary is None or baseline is None else canary - baseline,
        low=low,
        high=high,
        log10_f=standing.log_f / _LN10,
        log10_p=standing.log_p / _LN10,
        tolerance_asked=gate.fail_at.relative,
        tolerance_effective=seen.tolerance,
        pass_asked=gate.pass_at.relative,
        pass_effective=seen.pass_margin,
        limit_absolute=_limit_absolute(gate, seen.tolerance, baseline),
        windows_needed=windows,
        samples_needed=None if windows is None else windows * each,
        no_data=standing.no_data,
        detail=detail,
        recent=recent,
        fails=fails,
        passes=passes,
        outlook=None if ahead is None else Outlook(ahead.outcome),
    )


def _relative(canary: float | None, baseline: float | None) -> float | None:
    if canary is None or baseline is None or not baseline > 0:
        return None
    return canary / baseline - 1.0


def _limit_absolute(gate: GateSpec, tolerance: float, baseline: float | None) -> float | None:
    if baseline is None:
        return None
    if gate.kind is GateKind.RATIO:
        # Not by the effective tolerance: that is relative to a slower rate than the one shown.
        return max(gate.fail_at.relative * baseline, gate.fail_at.absolute)
    return tolerance * baseline


def _word(standing: Standing, bake: Bake, alpha: float, alpha_pass: float) -> tuple[Word, bool]:
    if breached(standing, alpha):
        return Word.BREACH, True
    if standing.no_data is not None:
        return Word.NO_DATA, False
    if bake.judged >= bake.least and standing.log_p >= -math.log(alpha_pass):
        return Word.PASSED, True
    return Word.INCONCLUSIVE, bake.judged >= bake.most


def _deciding(
    view: GateView, log_e: list[float], alpha: float, alpha_pass: float
) -> tuple[Deciding | None, Deciding | None]:
    seen, standing = view.description, view.standing
    if standing.no_data is not None and not breached(standing, alpha):
        return None, None
    if seen.deciding is not None:
        line, bound = seen.deciding
        return Deciding(line, bound, False, seen.error), None
    levels = Levels(
        0.0 if view.from_zero else seen.tolerance, seen.pass_margin, standing.log_f, standing.log_p,
        -math.log(alpha * standing.weight), -math.log(alpha_pass), view.gate.bad,
    )  # fmt: skip
    return deciding_bounds(levels, view.layout, view.nulls, log_e)


def _interval(view: GateView, log_e: list[float], alpha: float) -> tuple[float | None, float | None, bool]:
    layout = view.layout
    if view.description.band is not None:
        return *view.description.band, False
    if layout.low_nulls.size == 0:
        return None, None, False
    low_nulls, high_nulls = layout.low_nulls, layout.high_nulls
    if view.nulls is not None:
        low_nulls, high_nulls = view.nulls, view.nulls[::-1]
    if not math.isfinite(low_nulls.item(0)):
        return None, None, False
    limit = -math.log(alpha)
    low = crossing(low_nulls, log_e[layout.low], limit)
    high = crossing(high_nulls, log_e[layout.high], limit)
    moved = low is not None and high is not None and low > high
    if moved:  # the difference changed during the bake: it was between the two
        low, high = high, low
    return _share(low), _share(high), moved


def _share(log_ratio: float | None) -> float | None:
    return None if log_ratio is None else math.expm1(log_ratio)
