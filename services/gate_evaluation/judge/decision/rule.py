"""The decision rule: from every gate's evidence to one word. Pure; all budgets are spent here and nowhere else."""

import math
from collections.abc import Sequence

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
        catastrophe: the rule without statistics has fired.
        must_pass: gates without which the stage does not pass; None: all. The others only guard.
    """
    log_f, limit = weighted(standings), -math.log(alpha)
    scored = sorted(((_score(s), s) for s in standings), key=lambda pair: -pair[0])
    guards = [pair for pair in scored if pair[1].authority is Authority.ROLLBACK]
    if catastrophe or log_f >= limit:
        blamed = tuple(s.name for score, s in guards if score >= limit)
        if catastrophe:
            return Decision(Word.BREACH, True, Reason.CATASTROPHE, log_f, blamed)
        return Decision(Word.BREACH, True, Reason.EVIDENCE, log_f, blamed or tuple(s.name for _, s in guards))
    binding = [s for _, s in scored if s.authority is not Authority.ADVISE]
    held = tuple(s.name for score, s in scored if s.authority is Authority.HOLD and score >= limit)
    if held:
        return Decision(Word.INCONCLUSIVE, True, Reason.HELD, log_f, held)
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
