"""The decision rules: from every gate's evidence to one word. All budgets are spent here and nowhere else."""

import math
from collections.abc import Callable, Sequence

import msgspec

from services.gate_evaluation.judge.spec import Authority
from services.gate_evaluation.judge.verdict import NoData, Reason, Word


class Standing(msgspec.Struct, frozen=True):
    """One gate's evidence now.

    Attributes:
        name, authority, weight: as planned; the weight is the gate's share of the budget.
        log_f, log_p: evidence of harm, and against harm beyond the pass margin (nats).
        no_data: why it was not judged in this window.
    """

    name: str
    authority: Authority
    weight: float
    log_f: float
    log_p: float
    no_data: NoData | None


class Bake(msgspec.Struct, frozen=True):
    """Where the stage stands: judged windows so far, and the least and most of them."""

    judged: int
    least: int
    most: int


class Decision(msgspec.Struct, frozen=True):
    """The word, whether it stands, why, the weighted evidence (nats) and the gates to blame."""

    word: Word
    final: bool
    reason: Reason
    log_f: float
    blamed: tuple[str, ...]


def weighted(standings: Sequence[Standing]) -> float:
    """Return ln sum_k w_k F_k over gates with rollback authority: an e-process under any dependence."""
    return _total([_score(s) for s in standings if s.authority is Authority.ROLLBACK])


def _score(standing: Standing) -> float:
    """Return ln of the gate's share of the whole evidence."""
    return math.log(standing.weight) + standing.log_f


def _total(terms: Sequence[float]) -> float:
    if not terms:
        return -math.inf
    top = max(terms)
    return top + math.log(sum(math.exp(term - top) for term in terms))


def breached(standing: Standing, alpha: float) -> bool:
    """Return whether the gate alone carries a breach: w_k F_k >= 1/alpha."""
    return _score(standing) >= -math.log(alpha)


class Facts(msgspec.Struct, frozen=True):
    """What the rules read: every gate's evidence, the budget, and whether the canary has lost its last instance."""

    standings: Sequence[Standing]
    alpha: float
    dead: bool

    @property
    def log_f(self) -> float:
        """The weighted evidence of all gates that may roll back (nats)."""
        return weighted(self.standings)

    def at_limit(self, authority: Authority) -> tuple[str, ...]:
        """Return the gates of an authority whose own share of the evidence reaches 1/alpha, most evidence first."""
        scored = sorted(((_score(s), s) for s in self.standings if s.authority is authority), key=lambda one: -one[0])
        return tuple(s.name for score, s in scored if score >= -math.log(self.alpha))


class Rule(msgspec.Struct, frozen=True):
    """One way to end a stage by itself. `decide` takes its rules from `RULES` and has no other.

    Attributes:
        name: as documents list it.
        word, reason: of the decision.
        spends: share of `alpha` that the rule spends on the chance of a false decision, over the whole rollout.
        each: the share is spent by each gate, not by all together.
        fires: returns the gates to blame, None while the rule does not fire.
    """

    name: str
    word: Word
    reason: Reason
    spends: float
    each: bool
    fires: Callable[[Facts], tuple[str, ...] | None]


def _lost(facts: Facts) -> tuple[str, ...] | None:
    """A canary without a live instance is a fact, not a test: a release that is harmless has no part in it."""
    return facts.at_limit(Authority.ROLLBACK) if facts.dead else None


def _harmful(facts: Facts) -> tuple[str, ...] | None:
    """Sum of w_k F_k at least 1/alpha: the weights sum to 1 over gates, and the rows of an F to 1 (`layout`)."""
    if facts.log_f < -math.log(facts.alpha):
        return None
    alone = facts.at_limit(Authority.ROLLBACK)
    guards = sorted((s for s in facts.standings if s.authority is Authority.ROLLBACK), key=lambda s: -_score(s))
    return alone or tuple(s.name for s in guards)


def _held(facts: Facts) -> tuple[str, ...] | None:
    """A gate that may only hold spends alpha on false holds, each gate by itself: n such gates, at most n alpha."""
    return facts.at_limit(Authority.HOLD) or None


RULES = (
    Rule("no live canary", Word.BREACH, Reason.CATASTROPHE, 0.0, False, _lost),
    Rule("weighted evidence", Word.BREACH, Reason.EVIDENCE, 1.0, False, _harmful),
    Rule("hold gates", Word.INCONCLUSIVE, Reason.HELD, 1.0, True, _held),
)
"""Every rule that can roll back or hold, the first that fires decides. What those that roll back spend sums to 1."""


def decide(
    standings: Sequence[Standing],
    bake: Bake,
    *,
    alpha: float,
    alpha_pass: float,
    split_ok: bool,
    catastrophe: bool,
    must_pass: Sequence[str] | None = None,
) -> Decision:
    """Return the verdict after a window that counts.

    Args:
        standings: every gate, in the plan's order.
        bake: judged windows of the stage.
        alpha, alpha_pass: budgets.
        split_ok: False turns a pass into inconclusive.
        catastrophe: the canary has no live instance (version 4: or most of its requests fail).
        must_pass: gates without which the stage does not pass; None: all. The others only guard.
    """
    facts = Facts(standings, alpha, catastrophe)
    log_f = facts.log_f
    for rule in RULES:
        blamed = rule.fires(facts)
        if blamed is not None:
            return Decision(rule.word, True, rule.reason, log_f, blamed)
    scored = sorted(((_score(s), s) for s in standings), key=lambda pair: -pair[0])
    binding = [s for _, s in scored if s.authority is not Authority.ADVISE]
    if must_pass is not None:
        binding = [s for s in binding if s.name in must_pass]
    missing = tuple(s.name for s in binding if s.no_data)
    if missing:
        return Decision(Word.NO_DATA, bake.judged >= bake.most, Reason.NOT_MEASURED, log_f, missing)
    return _undisturbed(binding, bake, log_f, alpha, alpha_pass, split_ok)


def _undisturbed(
    binding: Sequence[Standing], bake: Bake, log_f: float, alpha: float, alpha_pass: float, split_ok: bool
) -> Decision:
    over = bake.judged >= bake.most
    if bake.judged < bake.least:
        return Decision(Word.INCONCLUSIVE, False, Reason.WATCHING, log_f, ())
    unsure = tuple(s.name for s in binding if s.log_p < -math.log(alpha_pass))
    if not split_ok:
        return Decision(Word.INCONCLUSIVE, over, Reason.TRAFFIC_SPLIT, log_f, unsure)
    if unsure:
        return Decision(Word.INCONCLUSIVE, over, Reason.BAKE_OVER if over else Reason.WATCHING, log_f, unsure)
    if log_f >= -0.5 * math.log(alpha):
        return Decision(Word.INCONCLUSIVE, over, Reason.SUSPICION, log_f, ())
    return Decision(Word.PASSED, True, Reason.ALL_EXCLUDED, log_f, ())
