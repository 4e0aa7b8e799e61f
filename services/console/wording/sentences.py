"""One sentence about a rollout: what it does, why, what happens next; every number comes from its events."""

from penstock.events import Authority, GateVerdict, Ground, Why, Word
from penstock.rollout import Phase, RolloutState
from services.console.read_models.rollout import Book
from services.console.wording.words import clause, percent, seconds

_GROUNDS: dict[Why, str] = {
    Why.DEPLOYED: "it was announced",
    Why.GATES_PASSED: "all gates passed",
    Why.GATE_BREACHED: "a gate was breached",
    Why.INCONCLUSIVE: "the bake ended without a verdict",
    Why.BOUNDED: "the bake ended without a verdict, and every gate is bounded below its hard limit",
    Why.NO_DATA: "a gate has no data, so nothing can pass",
    Why.DATA_RETURNED: "data is back",
    Why.PERSON: "a person asked for it",
    Why.OVERRIDE: "a person promoted it although gates had not passed",
    Why.APPROVAL_REQUIRED: "the next stage needs an approval",
    Why.APPROVED: "it was approved",
    Why.TELEMETRY_SILENT: "telemetry has been silent",
    Why.NEWER_RELEASE: "a newer release replaced it",
    Why.FLAG_KILLED: "the flag was killed",
    Why.ROLLBACK_EXECUTED: "the rollback is complete",
    Why.QUARANTINED: "the version is quarantined",
}


def sentence(book: Book) -> str:
    """Return the sentence about an announced rollout."""
    state = book.state
    assert state is not None
    where = _where(state.stage, state.exposure)
    match state.phase:
        case Phase.ANNOUNCED:
            return f"{state.version} is announced; its first stage has not begun."
        case Phase.AWAITING_APPROVAL:
            roles = " or ".join(next((s.approvers for s in state.stages if s.name == state.awaited), ()))
            count = f"{state.missing} approval{'s' if state.missing != 1 else ''}"
            now = f"stays at {percent(state.exposure)}"
            return (
                f"Waiting for {count} of stage {state.awaited} by {roles or 'an approver'}. Exposure {now}; "
                "gates keep watching."
            )
        case Phase.BAKING | Phase.SOAKING:
            doing = f"Soaking at {percent(state.exposure)}" if state.phase is Phase.SOAKING else f"Baking {where}"
            return f"{doing}. {_verdict(book, state)}"
        case Phase.HELD:
            return f"On hold {where}: {ground_words(book.ground)}. {_verdict(book, state)}{_resumes(book.ground)}"
        case Phase.ROLLING_BACK | Phase.ROLLED_BACK:
            return _rolled_back(book, state)
        case Phase.COMPLETED:
            return f"{state.version} has reached everyone{_completed_why(book.ground)}."
        case Phase.SUPERSEDED:
            return f"Superseded {where}: the newer release {state.superseded_by} replaced it."


def ground_words(ground: Ground | None) -> str:
    """Return why, in words; a person's own words where there are some."""
    if ground is None:
        return "no reason recorded"
    words = _GROUNDS[ground.why]
    if ground.text:
        words = f"{words}: “{ground.text.rstrip('.')}”"
    return words


def _verdict(book: Book, state: RolloutState) -> str:
    verdict = book.verdict
    if verdict is None:
        return f"No window evaluated yet; {state.bake_min} are needed."
    decisive = decisive_gate(verdict.gates)
    reason = f" {clause(decisive)}." if decisive is not None else ""
    count = (
        f"Evaluated {verdict.judged} of {state.bake_min} windows"
        if verdict.judged < state.bake_min
        else f"Evaluated {verdict.judged} windows; at most {max(0, state.bake_max - verdict.judged)} more"
    )
    return f"{count}.{reason}"


def _rolled_back(book: Book, state: RolloutState) -> str:
    started = book.started
    if started is None:
        return "Rolling back."
    decisive = decisive_gate(started.ground.gates)
    breached = decisive is not None and decisive.word is Word.BREACH
    why = f". {clause(decisive)}" if decisive is not None and breached else f": {ground_words(started.ground)}"
    verb = "Rolled back" if state.phase is Phase.ROLLED_BACK else "Rolling back"
    text = f"{verb} {_where(started.stage, started.exposure)}{why}."
    if book.contained is not None:
        after = seconds(book.contained.seconds)
        text += f" Everyone was back on the previous version after {after}"
        text += f"; recovery confirmed at {book.recovered.time:%H:%M:%S}." if book.recovered is not None else "."
        if closed := book.contained.closed:
            count = f"{closed} flag connection{'s' if closed > 1 else ''}"
            text += f" {count} did not read the change and had to be closed: those clients may still have the release."
    elif state.phase is Phase.ROLLING_BACK:
        text += " Waiting until every flag client has the previous version."
    if state.phase is Phase.ROLLED_BACK and not state.recovered:
        text += " Recovery is not confirmed."
    elif state.phase is Phase.ROLLED_BACK and not started.stage:
        text += " Nobody had the release."
    if book.escalations:
        text += f" A person was paged: {book.escalations[-1].reason}"
    return text


def _where(stage: str | None, exposure: float) -> str:
    return f"at {percent(exposure)} ({stage})" if stage else "before its first stage"


def _resumes(ground: Ground | None) -> str:
    waits = ground is not None and ground.why in {Why.NO_DATA, Why.TELEMETRY_SILENT}
    return " The rollout continues by itself once data arrives." if waits else ""


def _completed_why(ground: Ground | None) -> str:
    """Return why it was completed; an undecided bake is no reason to give, for the plan let it complete."""
    undecided = ground is None or ground.why in {Why.INCONCLUSIVE, Why.BOUNDED}
    return "" if undecided else f": {ground_words(ground)}"


def decisive_gate(gates: tuple[GateVerdict, ...]) -> GateVerdict | None:
    """Return the most important gate: one that may act, with the worst verdict and the most evidence."""
    acting = [gate for gate in gates if gate.authority is not Authority.ADVISE] or list(gates)
    order = list(Word)
    return min(acting, key=lambda gate: (order.index(gate.word), -(gate.evidence or 0.0)), default=None)
