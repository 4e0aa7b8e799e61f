"""Builds a gate from e-processes: the role of each row, and how rows join to one F, one P and one interval."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from services.gate_evaluation.judge.arrays import Floats
from services.gate_evaluation.judge.evidence import mixtures
from services.gate_evaluation.judge.evidence.e_processes import Form, Row
from services.gate_evaluation.judge.evidence.mixtures import Power
from services.gate_evaluation.judge.versions import CURRENT, Parameters


class Role(IntEnum):
    """What a row is for."""

    F = 0  # against "degradation <= tolerance in every window"
    P = 1  # against "degradation >= pass margin"
    LOW = 2  # one T0 of the displayed interval, rejected from above
    HIGH = 3  # one T0 of the displayed interval, rejected from below


@dataclass(frozen=True, slots=True)
class GateRow:
    """One row of a gate.

    Attributes:
        role: what the row is for.
        row: the e-process.
        weight: its share among the rows of the same role and group.
        group: F groups average (two directions); of P groups the least counts (each must be excluded).
    """

    role: Role
    row: Row
    weight: float = 1.0
    group: int = 0


@dataclass(frozen=True, slots=True)
class Context:
    """What is fixed at the start for one gate.

    Attributes:
        share: alpha x weight of the gate.
        alpha: the whole budget (level of the displayed interval).
        horizon: windows over which an onset is expected.
        requests: of both cohorts a window, where a gate does not know its own total.
        least, most: split x (1 - split), at the smallest and the largest split.
        interval: False leaves the displayed interval out (simulation).
        parameters: of the judge's version.
    """

    share: float
    alpha: float
    horizon: int
    requests: float
    least: float
    most: float
    interval: bool = True
    parameters: Parameters = CURRENT

    def effects(self, rate: float, points: int, total: float = 0.0) -> list[float]:
        """Return ln m of the grid.

        Args:
            rate: of the baseline.
            points: how many effects.
            total: requests (or exposure) of both cohorts a window; 0: as for all gates.
        """
        events = rate * (total if total > 0 else self.requests)
        return mixtures.effects(Power(self.least * events, self.most * events), self.share, self.horizon, points)


def even(count: int) -> tuple[float, ...]:
    """Return `count` equal weights."""
    return (1.0 / count,) * count


def fail_row(
    channel: int,
    effects: Sequence[float],
    context: Context,
    *,
    elements: int,
    exponents: tuple[float, ...] = (1.0,),
    weight: float = 1.0,
    middle: float = mixtures.BELL,
) -> Row:
    """Return an F row of counts: onset mixed, each window capped.

    Args:
        channel, effects, exponents: as the row's.
        context: of the gate.
        elements: of the whole gate.
        weight: of the row among the gate's F rows.
        middle: of the bell of the effects' weights.
    """
    return Row(
        channel=channel,
        form=Form.BINOMIAL,
        effects=tuple(effects),
        weights=mixtures.effect_weights(len(effects), middle, context.parameters.bell_spread),
        exponents=exponents,
        onset=True,
        cap=mixtures.cap_of(elements, context.share),
        limit=1.0 / (context.share * weight),
    )


def pass_row(channel: int, effects: Sequence[float], form: Form = Form.BINOMIAL) -> Row:
    """Return a P row: no onset, no cap, dispersion without its safety factor."""
    return Row(
        channel=channel, form=form, effects=tuple(effects), weights=even(len(effects)), plain=form is Form.BINOMIAL
    )


def ladder(finest: float, widest: float, points: int) -> list[float]:
    """Return `points` values each side of zero, geometric from `finest` to `widest`, rising, zero included."""
    side = [finest * (widest / finest) ** (i / (points - 1)) for i in range(points)]
    return [-value for value in reversed(side)] + [0.0, *side]


def interval_rows(channel: int, form: Form, effects: Sequence[float], log_t0: Iterable[float]) -> list[GateRow]:
    """Return LOW and HIGH rows at each null; effects are ln m > 0 (or standard deviations, for Gaussian rows)."""
    parts = []
    weights = even(len(effects))
    standard = form is Form.GAUSS
    for null in log_t0:
        up = Row(channel, form, tuple(effects), weights, onset=True, log_t0=null, standard=standard)
        down = Row(channel, form, tuple(-e for e in effects), weights, log_t0=null, standard=standard)
        parts += [GateRow(Role.LOW, up), GateRow(Role.HIGH, down)]
    return parts


def crossing(nulls: Floats, log_e: Sequence[float], limit: float) -> float | None:
    """Return the null at which a falling log evidence comes down to `limit`, None when the first is not rejected.

    Args:
        nulls: ln T0, from the most to the least rejected.
        log_e: log evidence against each.
        limit: what rejects.
    """
    open_at = len(log_e)
    for at, value in enumerate(log_e):
        if value < limit:
            open_at = at
            break
    if open_at == 0:
        return None
    if open_at == len(log_e):
        return float(nulls[-1])
    above, below = log_e[open_at - 1], log_e[open_at]
    part = (above - limit) / (above - below)
    return float(nulls[open_at - 1] + part * (nulls[open_at] - nulls[open_at - 1]))
