"""What a gate reports about one window: whether it could be judged, its counts, and how it is doing."""

import math

import msgspec

from services.gate_evaluation.judge.noise.dispersion import Residual
from services.gate_evaluation.judge.verdict import NoData


class Reading(msgspec.Struct, frozen=True):
    """One gate in one window.

    Attributes:
        no_data: why it was not judged, or None.
        residuals: one for each channel, around the running estimate, None where too little was expected.
        counts: what was compared.
        beyond: of monitors, the nats by which it is over its own limit.
        needs: of gates that have too few samples, the windows until they have enough.
    """

    no_data: NoData | None
    residuals: tuple[Residual | None, ...] = ()
    counts: dict[str, float] = msgspec.field(default_factory=dict)
    beyond: float | None = None
    needs: int | None = None


class Description(msgspec.Struct, frozen=True):
    """Present estimate and margins of a gate.

    Attributes:
        canary, baseline: the metric's value over the recent windows, in its unit; None when unknown.
        tolerance, pass_margin: relative, as they apply after snapping and smoothing.
        gain_f, gain_p: nats a window that F and P are expected to grow at the present estimate.
        detail: numbers of this kind only.
        whole: both values over the whole rollout, which the band speaks of; None: no other than the recent ones.
        band: relative bounds of monitors.
        deciding, error: of monitors, the line and the lower bound that decide (relative), and the bound's level.
    """

    canary: float | None = None
    baseline: float | None = None
    tolerance: float = 0.0
    pass_margin: float = 0.0
    gain_f: float = 0.0
    gain_p: float = 0.0
    detail: dict[str, float] = msgspec.field(default_factory=dict)
    whole: tuple[float, float] | None = None
    band: tuple[float, float] | None = None
    deciding: tuple[float, float | None] | None = None
    error: float = 0.0


def count_gain(events: float, ratio: float, null: float, phi: float) -> float:
    """Return the nats a window about rates `ratio` times the baseline's, against a null of `null` times.

    Args:
        events: canary events a window at the baseline's rate, shrunk by the canary's share.
        ratio: present estimate.
        null: T0.
        phi: dispersion of the window.
    """
    if not (events > 0 and ratio > 0 and null > 0 and phi > 0):
        return 0.0
    return events * (ratio * math.log(ratio / null) - ratio + null) / phi
