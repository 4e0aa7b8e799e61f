"""Specification of gates and budgets, fixed when the rollout starts, before any of its windows is read."""

from dataclasses import dataclass, replace
from enum import StrEnum

from penstock.errors import InvalidError, Problem


class GateKind(StrEnum):
    """What a gate compares."""

    RATIO = "ratio"  # events among a total: canary against baseline
    QUANTILE = "quantile"  # a latency quantile, through the tails of a histogram
    MEAN = "mean"  # a heavy-tailed mean: capped mean and, apart from it, the tail count
    COUNT = "count"  # things per exposure: throughput, usage
    GAUGE = "gauge"  # saturation of instances
    SLO = "slo"  # the canary alone against an absolute budget
    BURN_RATE = "burn_rate"  # the canary's own error budget, over several spans
    OWN_HISTORY = "own_history"  # no control group: the metric against its own past (advisory)


class Direction(StrEnum):
    """Which way a metric degrades."""

    UP = "up"
    DOWN = "down"
    BOTH = "both"


class Authority(StrEnum):
    """What a breach of the gate may do."""

    ROLLBACK = "rollback"
    HOLD = "hold"
    ADVISE = "advise"


class Sensitivity(StrEnum):
    """`tolerance` bounds rollbacks of tolerable changes; `estimate`, which is faster, only those of unchanged ones."""

    TOLERANCE = "tolerance"
    ESTIMATE = "estimate"


@dataclass(frozen=True, slots=True)
class Margin:
    """A degradation: the larger of a share of the baseline and an absolute amount in the metric's unit applies."""

    relative: float
    absolute: float = 0.0


_DEFAULTS: dict[GateKind, tuple[Margin, Margin]] = {
    GateKind.RATIO: (Margin(0.10, 0.0005), Margin(0.50, 0.0025)),
    GateKind.QUANTILE: (Margin(0.05), Margin(0.20)),
    GateKind.MEAN: (Margin(0.05), Margin(0.15)),
    GateKind.COUNT: (Margin(0.10), Margin(0.30)),
    GateKind.GAUGE: (Margin(0.05), Margin(0.10)),
    GateKind.SLO: (Margin(0.0), Margin(0.0)),
    GateKind.BURN_RATE: (Margin(0.0), Margin(0.0)),
    GateKind.OWN_HISTORY: (Margin(0.0), Margin(0.0)),
}


@dataclass(frozen=True, slots=True)
class GateSpec:
    """One gate.

    Attributes:
        name: unique in the plan.
        metric: which measure of the window it reads.
        q: the quantile (quantile gates; SLO gates over a histogram).
        tolerance: smallest harmful degradation d_f; None takes the kind's default.
        pass_margin: degradation that a pass excludes, d_p >= d_f; None takes the kind's default.
        weight: share of the rollback budget; None divides by kind (see `weights_of`).
        slo_max: SLO gates: largest allowed rate, or the largest latency at quantile q.
        objective: burn-rate gates: the objective, such as 0.999; period: seconds for which its budget is to last.
    """

    name: str
    metric: str
    kind: GateKind
    q: float | None = None
    bad: Direction = Direction.UP
    tolerance: Margin | None = None
    pass_margin: Margin | None = None
    authority: Authority = Authority.ROLLBACK
    weight: float | None = None
    slo_max: float | None = None
    objective: float | None = None
    period: float = 30 * 86400.0

    @property
    def fail_at(self) -> Margin:
        """The tolerance that applies: asked, or the default of the kind."""
        if self.tolerance is not None:
            return self.tolerance
        return _DEFAULTS[self.kind][0]

    @property
    def pass_at(self) -> Margin:
        """The pass margin that applies: asked, or the default of the kind (p50: +10 %)."""
        if self.pass_margin is not None:
            return self.pass_margin
        if self.kind is GateKind.QUANTILE and self.q is not None and self.q < 0.9:
            return Margin(0.10)
        return _DEFAULTS[self.kind][1]


@dataclass(frozen=True, slots=True)
class JudgeSpec:
    """A rollout's judge.

    Attributes:
        gates: the union of the gates of all stages, in the plan's order.
        alpha: budget for rolling back a harmless change, over the whole rollout.
        alpha_pass: chance of passing a gate that is beyond its pass margin, for each gate and stage.
        min_bake, max_bake: judged windows of a stage before a pass is possible, and until it is inconclusive.
        horizon: judged windows that the whole rollout is expected to last (places the onset weights); None: max_bake.
        splits: canary shares that the stages will use, smallest and largest place the grid of effects.
        window_requests: expected requests of both cohorts in a window, if the history does not tell.
    """

    gates: tuple[GateSpec, ...]
    alpha: float = 0.01
    alpha_pass: float = 0.05
    min_bake: int = 120
    max_bake: int = 120
    horizon: int | None = None
    warmup_windows: int = 0
    window_seconds: float = 60.0
    splits: tuple[float, ...] = (0.05,)
    window_requests: float | None = None
    sensitivity: Sensitivity = Sensitivity.TOLERANCE

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise InvalidError("judge", problems)

    @property
    def onset_horizon(self) -> int:
        """Windows over which the onset of a regression is expected."""
        return max(self.horizon or self.max_bake, 2)

    def staged(self, min_bake: int, max_bake: int) -> "JudgeSpec":
        """Return the same judge with the bake of another stage; onset and grid stay as they were placed."""
        return replace(self, min_bake=min_bake, max_bake=max_bake, horizon=self.onset_horizon)


def _problems(spec: JudgeSpec) -> list[Problem]:
    found = []
    if not spec.gates:
        found.append(Problem("gates", "a judge needs a gate"))
    if len({gate.name for gate in spec.gates}) != len(spec.gates):
        found.append(Problem("gates", "gate names repeat"))
    if not 0 < spec.alpha < 0.5 or not 0 < spec.alpha_pass < 0.5:
        found.append(Problem("alpha", "alpha and alpha_pass lie between 0 and 0.5"))
    if not 1 <= spec.min_bake <= spec.max_bake:
        found.append(Problem("min_bake", "1 <= min_bake <= max_bake"))
    if not spec.splits or not all(0 < split < 1 for split in spec.splits):
        found.append(Problem("splits", "each canary share lies between 0 and 1"))
    for gate in spec.gates:
        found.extend(Problem(f"gates.{gate.name}", what) for what in _gate_problems(gate))
    return found


def _gate_problems(gate: GateSpec) -> list[str]:
    found = []
    fail, pas = gate.fail_at, gate.pass_at
    if not all(0 <= part < 1e12 for part in (fail.relative, fail.absolute, pas.relative, pas.absolute)):
        found.append("margins are finite and >= 0")
    if pas.relative < fail.relative or pas.absolute < fail.absolute:
        found.append("the pass margin must not be smaller than the tolerance")
    if gate.kind in (GateKind.QUANTILE,) and not (gate.q is not None and 0 < gate.q < 1):
        found.append("a quantile gate needs q between 0 and 1")
    if (
        gate.kind in (GateKind.QUANTILE, GateKind.MEAN, GateKind.SLO, GateKind.BURN_RATE)
        and gate.bad is not Direction.UP
    ):
        found.append(f"a {gate.kind} gate degrades upward only")
    if gate.kind in (GateKind.RATIO, GateKind.QUANTILE, GateKind.MEAN, GateKind.COUNT, GateKind.GAUGE) and not (
        fail.relative > 0 or fail.absolute > 0
    ):
        found.append("the tolerance is zero: a change too small to matter would be a breach")
    if gate.kind is GateKind.SLO and not (gate.slo_max is not None and gate.slo_max > 0):
        found.append("an slo gate needs slo_max > 0")
    if gate.kind is GateKind.BURN_RATE and not (gate.objective is not None and 0 < gate.objective < 1):
        found.append("a burn_rate gate needs an objective between 0 and 1")
    if gate.kind in (GateKind.BURN_RATE, GateKind.OWN_HISTORY) and gate.authority is Authority.ROLLBACK:
        found.append(f"a {gate.kind} gate proves nothing against the canary: authority hold or advise")
    if gate.weight is not None and not gate.weight > 0:
        found.append("weight > 0")
    return found


_KIND_WEIGHT = {GateKind.GAUGE: 0.03, GateKind.MEAN: 0.35, GateKind.COUNT: 0.25, GateKind.SLO: 0.25}


def weights_of(spec: JudgeSpec) -> dict[str, float]:
    """Return the shares of the rollback budget by gate name, summing to 1 over gates with rollback authority.

    Gates of other authority spend no rollback budget: each answers for itself at the full alpha (share 1).
    """
    raw = {gate.name: _raw_weight(gate) for gate in spec.gates if gate.authority is Authority.ROLLBACK}
    total = sum(raw.values())
    return {gate.name: raw[gate.name] / total if gate.name in raw else 1.0 for gate in spec.gates}


def _raw_weight(gate: GateSpec) -> float:
    if gate.weight is not None:
        return gate.weight
    if gate.kind is GateKind.QUANTILE:
        return 0.52 if gate.q is not None and gate.q >= 0.9 else 0.02
    return _KIND_WEIGHT.get(gate.kind, 0.43)
