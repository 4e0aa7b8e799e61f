"""One sentence about a rollout: what it does, why, what happens next; every number comes from its events."""

from penstock.events import Authority, GateVerdict, Ground, Why, Word
from penstock.rollout import Phase, RolloutState
from services.console.read_models.rollout import Book
from services.console.wording.words import clause, percent, seconds

_GROUNDS: dict[Why, str] = {
    Why.DEPLOYED: "CI announced it",
    Why.GATES_PASSED: "all gates passed",
    Why.GATE_BREACHED: "a gate was breached",
    Why.INCONCLUSIVE: "the bake ended without a verdict",
    Why.BOUNDED: "the bake ended without a verdict, and every gate is bounded below its hard limit",
    Why.NO_DATA: "a gate has no data, and not measured is not passed",
    Why.DATA_RETURNED: "data is back",
    Why.PERSON: "a person asked for it",
    Why.OVERRIDE: "a person overrode gates that had not passed",
    Why.APPROVAL_REQUIRED: "the next stage needs an approval",
    Why.APPROVED: "it was approved",
    Why.TELEMETRY_SILENT: "telemetry has been silent",
    Why.NEWER_RELEASE: "a newer release took its place",
    Why.FLAG_KILLED: "the flag was killed",
    Why.ROLLBACK_EXECUTED: "the rollback is through",
    Why.QUARANTINED: "the version is quarantined",
}


def sentence(book: Book) -> str:
    """Return the sentence about an announced rollout."""
    state = book.state
    assert state is not None
    where = f"{state.stage} ({percent(state.exposure)})" if state.stage else "no stage yet"
    match state.phase:
        case Phase.ANNOUNCED:
            return f"{state.version} is announced; its first stage has not begun."
        case Phase.AWAITING_APPROVAL:
            roles = " or ".join(next((s.approvers for s in state.stages if s.name == state.awaited), ()))
            count = f"{state.missing} approval{'s' if state.missing != 1 else ''}"
            now = f"stays at {percent(state.exposure)}" if state.exposure else "nobody has it yet"
            return (
                f"Waiting for {count} of stage {state.awaited} by {roles or 'an approver'}; {now}, gates keep watching."
            )
        case Phase.BAKING | Phase.SOAKING:
            doing = f"Soaking at {percent(state.exposure)}" if state.phase is Phase.SOAKING else f"Baking in {where}"
            return f"{doing}. {_verdict(book, state)}"
        case Phase.HELD:
            return f"Held in {where}: {ground_words(book.ground)}. {_verdict(book, state)}"
        case Phase.ROLLING_BACK | Phase.ROLLED_BACK:
            return _rolled_back(book, state)
        case Phase.COMPLETED:
            return f"{state.version} has reached everyone: {ground_words(book.ground)}."
        case Phase.SUPERSEDED:
            return f"Superseded by {state.superseded_by} in {where}: a newer release took its place."


def ground_words(ground: Ground | None) -> str:
    """Return why, in words; a person's own words where there are some."""
    if ground is None:
        return "no ground recorded"
    words = _GROUNDS[ground.why]
    if ground.text:
        words = f"{words}: “{ground.text.rstrip('.')}”"
    return words


def _verdict(book: Book, state: RolloutState) -> str:
    verdict = book.verdict
    if verdict is None:
        return f"No window judged yet; {state.bake_min} are needed."
    decisive = decisive_gate(verdict.gates)
    told = f" {clause(decisive)}." if decisive is not None else ""
    count = (
        f"{verdict.judged} of {state.bake_min} windows judged"
        if verdict.judged < state.bake_min
        else (f"{verdict.judged} windows judged, {max(0, state.bake_max - verdict.judged)} left to decide")
    )
    return f"{count}.{told}"


def _rolled_back(book: Book, state: RolloutState) -> str:
    started = book.started
    if started is None:
        return "Rolling back."
    decisive = decisive_gate(started.ground.gates)
    why = clause(decisive) if decisive is not None and decisive.word is Word.BREACH else ground_words(started.ground)
    verb = "Rolled back" if state.phase is Phase.ROLLED_BACK else "Rolling back"
    place = f"from {started.stage} at {percent(started.exposure)}" if started.stage else "before its first stage"
    text = f"{verb} {place}: {why}."
    if book.contained is not None:
        after = seconds(book.contained.seconds)
        who = "All flag streams had" if book.contained.streams else "No flag stream was open; flag control served"
        text += f" {who} the safe version after {after}."
        if closed := book.contained.closed:
            text += (
                f" {closed} that read nothing {'was' if closed == 1 else 'were'} closed and may still have the release."
            )
    elif state.phase is Phase.ROLLING_BACK:
        text += " Waiting until every flag client has the safe version."
    if state.phase is Phase.ROLLED_BACK:
        verified = "Recovery verified." if started.stage else "Nobody had the release."
        text += f" {verified}" if state.recovered else " Recovery is not verified."
    if book.escalations:
        text += f" A person was called: {book.escalations[-1].reason}"
    return text


def decisive_gate(gates: tuple[GateVerdict, ...]) -> GateVerdict | None:
    """Return the gate that says most: one that may act, of the worst word, with the most evidence."""
    acting = [gate for gate in gates if gate.authority is not Authority.ADVISE] or list(gates)
    order = list(Word)
    return min(acting, key=lambda gate: (order.index(gate.word), -(gate.evidence or 0.0)), default=None)
