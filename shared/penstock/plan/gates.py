"""What a plan says of a gate: which telemetry it reads, how it is compared, what its breach may do."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from penstock.events.verdicts import Authority, Direction
from penstock.plan.selectors import Selector
from penstock.plan.strict import Strict
from penstock.plan.units import Duration, Fraction


class Margin(Strict):
    """The larger of a relative and an absolute part applies."""

    relative: Fraction = 0.0
    absolute: float = Field(default=0.0, ge=0)


class ShareMargin(Strict):
    """A margin on a share of requests: the absolute part in percentage points."""

    relative: Fraction = 0.0
    absolute: Fraction = 0.0


def _margin(relative: str) -> Margin:
    return Margin.model_validate({"relative": relative})


def _shown(margin: Margin | ShareMargin) -> str:
    if isinstance(margin, ShareMargin):
        return f"{100 * margin.relative:g} % and {100 * margin.absolute:g} pp"
    return f"{100 * margin.relative:g} % and {margin.absolute:g}"


def _shares(relative: str, absolute: str = "0pp") -> ShareMargin:
    return ShareMargin.model_validate({"relative": relative, "absolute": absolute})


class GateBase(Strict):
    """What all kinds share.

    Attributes:
        metric: OpenTelemetry instrument name.
        where: attributes that a point must have to count, name to selector; on the point, then the resource.
        assume_unit: unit of a metric that states none; without it such a metric is not judged where the unit matters.
        authority: what a breach may do.
        weight: share of the false-rollback budget, relative to the other gates; by default by power.
    """

    metric: str = Field(min_length=1)
    where: dict[str, Selector] = Field(default_factory=dict)
    assume_unit: str | None = None
    authority: Authority = Authority.ROLLBACK
    weight: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _can_be_judged(self) -> Self:
        tolerance, margin = self.margins()
        if tolerance is None or margin is None:
            return self
        hard = self.most()
        if hard is not None and (hard.relative < margin.relative or hard.absolute < margin.absolute):
            said = f"hard_limit is {_shown(hard)}, pass_margin {_shown(margin)}"
            raise ValueError(f"{said}: below the pass margin it would ask for more than a pass")
        if not (tolerance.relative > 0 or tolerance.absolute > 0):
            raise ValueError("the tolerance is zero: a change too small to matter would be a breach")
        if margin.relative < tolerance.relative or margin.absolute < tolerance.absolute:
            said = f"pass_margin is {_shown(margin)}, tolerance {_shown(tolerance)}"
            raise ValueError(f"{said}: a pass margin must not be the smaller one in either part")
        return self

    def most(self) -> "Margin | ShareMargin | None":
        """Return what an undecided stage may at most be promoted with; None where the plan states nothing."""
        return None

    def margins(self) -> "tuple[Margin | ShareMargin | None, Margin | ShareMargin | None]":
        """Return tolerance and pass margin as they apply; None where the kind has none to compare."""
        return None, None


class RatioGate(GateBase):
    """Share of bad events: `bad` attributes (`*` patterns) mark them among all points of the metric (a counter or the
    count of a histogram); or `bad_metric` names a counter of them."""

    kind: Literal["ratio"]
    bad: dict[str, Selector] = Field(default_factory=dict)
    bad_metric: str | None = None
    direction: Direction = Direction.UP
    tolerance: ShareMargin = _shares("10%", "0.05pp")
    pass_margin: ShareMargin = _shares("50%", "0.25pp")
    hard_limit: ShareMargin | None = None

    def most(self) -> Margin | ShareMargin | None:
        """Return the hard limit."""
        return self.hard_limit

    def margins(self) -> tuple[Margin | ShareMargin | None, Margin | ShareMargin | None]:
        """Return tolerance and pass margin."""
        return self.tolerance, self.pass_margin


class QuantileGate(GateBase):
    """A latency quantile of a histogram; absolute margins are not offered: edges are relative."""

    kind: Literal["quantile"]
    quantile: float = Field(gt=0, lt=1)
    unit: Literal["s", "ms"] = "s"
    tolerance: Margin = _margin("5%")
    pass_margin: Margin | None = None
    hard_limit: Margin | None = None

    def most(self) -> Margin | ShareMargin | None:
        """Return the hard limit."""
        return self.hard_limit

    def margins(self) -> tuple[Margin | ShareMargin | None, Margin | ShareMargin | None]:
        """Return tolerance and pass margin; without one it is 10 % below p90 and 20 % from there on."""
        return self.tolerance, self.pass_margin or _margin("10%" if self.quantile < 0.9 else "20%")


class MeanGate(GateBase):
    """A heavy-tailed mean of a histogram: a capped mean, and the count beyond the cap."""

    kind: Literal["mean"]
    unit: str = ""
    direction: Direction = Direction.UP
    tolerance: Margin = _margin("5%")
    pass_margin: Margin = _margin("20%")
    hard_limit: Margin | None = None

    @model_validator(mode="after")
    def _only_upward(self) -> Self:
        if self.direction is not Direction.UP:
            raise ValueError("a mean is judged upward only, by its tail: direction must be up")
        return self

    def most(self) -> Margin | ShareMargin | None:
        """Return the hard limit."""
        return self.hard_limit

    def margins(self) -> tuple[Margin | ShareMargin | None, Margin | ShareMargin | None]:
        """Return tolerance and pass margin."""
        return self.tolerance, self.pass_margin


class GaugeGate(GateBase):
    """Saturation over instances, such as memory."""

    kind: Literal["gauge"]
    unit: str = ""
    direction: Direction = Direction.UP
    tolerance: Margin = _margin("5%")
    pass_margin: Margin = _margin("10%")
    hard_limit: Margin | None = None

    def most(self) -> Margin | ShareMargin | None:
        """Return the hard limit."""
        return self.hard_limit

    def margins(self) -> tuple[Margin | ShareMargin | None, Margin | ShareMargin | None]:
        """Return tolerance and pass margin."""
        return self.tolerance, self.pass_margin


class CountGate(GateBase):
    """Occurrences per exposure (throughput, usage), by default in both directions."""

    kind: Literal["count"]
    direction: Direction = Direction.BOTH
    tolerance: Margin = _margin("10%")
    pass_margin: Margin = _margin("30%")
    hard_limit: Margin | None = None

    def most(self) -> Margin | ShareMargin | None:
        """Return the hard limit."""
        return self.hard_limit

    def margins(self) -> tuple[Margin | ShareMargin | None, Margin | ShareMargin | None]:
        """Return tolerance and pass margin."""
        return self.tolerance, self.pass_margin


class SloGate(GateBase):
    """An absolute objective on the canary alone: at most `objective` bad events, or a latency quantile below a limit.

    Attributes:
        quantile, below: of a latency objective: 0.99 and 300ms say that at most 1 % of requests may take longer.
        unit: of the metric that `below` is compared with.
        pass_margin: on the share of bad (or slow) requests.
    """

    kind: Literal["slo"]
    bad: dict[str, Selector] = Field(default_factory=dict)
    bad_metric: str | None = None
    objective: Fraction | None = Field(default=None, gt=0)
    quantile: float | None = Field(default=None, gt=0, lt=1)
    below: Duration | None = Field(default=None, gt=0)
    unit: Literal["s", "ms"] = "s"
    pass_margin: ShareMargin = _shares("50%")

    @model_validator(mode="after")
    def _says_one_objective(self) -> Self:
        latency = (self.quantile is not None, self.below is not None)
        if any(latency) and not all(latency):
            raise ValueError("a latency objective says both: `quantile` and `below`, such as 0.99 and 300ms")
        if all(latency) and self.objective is not None:
            raise ValueError("`objective` is a share of bad events; a latency objective has `quantile` and `below`")
        if not any(latency) and self.objective is None:
            raise ValueError("say the objective: a share of bad events, or a `quantile` and what it must be `below`")
        return self


class BurnRateGate(GateBase):
    """Multi-window burn rate of the canary's own error budget."""

    kind: Literal["burn_rate"]
    bad: dict[str, Selector] = Field(default_factory=dict)
    bad_metric: str | None = None
    objective: Fraction = Field(gt=0, lt=1)
    period: Duration = 30 * 86400.0
    authority: Authority = Authority.HOLD

    @model_validator(mode="after")
    def _only_holds(self) -> Self:
        if self.authority is Authority.ROLLBACK:
            raise ValueError("a burn rate proves nothing against the canary: its authority is hold or advise")
        return self


class OwnHistoryGate(GateBase):
    """The whole service against its own past, for where there is no control group; it advises, and no more.

    Attributes:
        follows: what is followed: the share of bad events, a quantile of a histogram, a level, or an amount.
        bad, bad_metric: with `ratio`; quantile: with `quantile`.
        unit: of the metric, for people.
    """

    kind: Literal["own_history"]
    follows: Literal["ratio", "quantile", "gauge", "count"]
    bad: dict[str, Selector] = Field(default_factory=dict)
    bad_metric: str | None = None
    quantile: float | None = Field(default=None, gt=0, lt=1)
    unit: str = ""
    direction: Direction = Direction.UP
    authority: Authority = Authority.ADVISE

    @model_validator(mode="after")
    def _only_advises(self) -> Self:
        if self.authority is not Authority.ADVISE:
            raise ValueError("the past is no control group, and its alarm has no error rate: its authority is advise")
        if self.weight is not None:
            raise ValueError("it spends none of the false-rollback budget, so it has no weight")
        if (self.follows == "quantile") is (self.quantile is None):
            raise ValueError("`quantile` belongs to `follows: quantile`, and that needs it")
        return self


Gate = Annotated[
    RatioGate | QuantileGate | MeanGate | GaugeGate | CountGate | SloGate | BurnRateGate | OwnHistoryGate,
    Field(discriminator="kind"),
]


class Reads(StrEnum):
    """In which form a gate reads its metric; two gates that read alike share one reading."""

    SHARE = "share"
    HISTOGRAM = "histogram"
    LEVEL = "gauge"
    AMOUNT = "count"


_FOLLOWED = {"ratio": Reads.SHARE, "quantile": Reads.HISTOGRAM, "gauge": Reads.LEVEL, "count": Reads.AMOUNT}


def reads_of(gate: Gate) -> Reads:
    """Return in which form a gate reads its metric."""
    match gate:
        case OwnHistoryGate():
            return _FOLLOWED[gate.follows]
        case QuantileGate() | MeanGate() | SloGate(quantile=float()):
            return Reads.HISTOGRAM
        case RatioGate() | SloGate() | BurnRateGate():
            return Reads.SHARE
        case GaugeGate():
            return Reads.LEVEL
        case CountGate():
            return Reads.AMOUNT
