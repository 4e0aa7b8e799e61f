"""Numbers and verdicts as people read them: shares, seconds, values in their unit, words."""

from penstock.events import Authority, GateVerdict, Word
from penstock.wording import figures
from penstock.wording import verdicts as explain

_SHARES = frozenset({"ratio", "slo", "burn_rate"})


def percent(share: float | None) -> str:
    """Return `5 %` of 0.05; a dash where there is none."""
    if share is None:
        return "–"
    value = share * 100.0
    text = f"{value:.0f}" if abs(value) >= 10 or value == int(value) else f"{value:.2g}"
    return f"{text} %"


def seconds(value: float | None) -> str:
    """Return `31 ms`, `4.2 s`, `3 min 10 s`."""
    if value is None:
        return "–"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def value_of(gate: GateVerdict, side: str) -> str:
    """Return what `canary` or `baseline` measured, in the metric's unit."""
    value = (gate.canary if side == "canary" else gate.baseline).value
    if value is None:
        return "–"
    if gate.kind in _SHARES or gate.detail.get("follows") == "share":
        return figures.share(value)
    return figures.amount(value, gate.unit or "")


def gate_word(gate: GateVerdict) -> str:
    """Return the gate's word as pages show it."""
    return shown_word(gate.word, gate.authority)


def shown_word(word: Word, authority: Authority) -> str:
    """Return the word; a breach of a gate that may only advise is shown as advice, so that it alarms nobody."""
    return "advice" if word is Word.BREACH and authority is Authority.ADVISE else word.value


def clause(gate: GateVerdict) -> str:
    """Return one gate's verdict as a clause, with its numbers."""
    return explain.explain_gate(gate.model_dump(mode="json", exclude_none=True))
