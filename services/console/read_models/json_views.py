"""How the API shows a rollout: one JSON view, the same for command line, dashboard and everybody else."""

from datetime import datetime, timedelta
from typing import Any

from penstock.events import Authority, GateVerdict, Word, to_json
from penstock.events.base import Value
from penstock.rollout import Phase, RolloutState
from services.console.read_models.projection import TargetBook
from services.console.read_models.recovery import next_of_rollback, text, words_of_rollback
from services.console.read_models.rollout import Book
from services.console.wording.sentences import sentence

Document = dict[str, Any]

SOAK = "soak"


def view_of(book: Book, target: TargetBook) -> Document:
    """Return the view of an announced rollout, JSON values."""
    state = book.state
    assert state is not None
    assert book.announced is not None
    verdict, following = book.verdict, next_of(book, target)
    waits = words_of_rollback(following) if following is not None and state.phase is Phase.ROLLING_BACK else ""
    return {
        "id": book.id,
        "target": state.target,
        "phase": state.phase.value,
        "stage": state.stage,
        "stage_index": state.index,
        "exposure": state.exposure,
        "exposure_actual": book.changed.exposure if book.changed is not None else None,
        "sequence": state.sequence,
        "release": book.announced.release.model_dump(mode="json"),
        "plan_name": state.plan_name,
        "plan_hash": state.plan_hash,
        "stages": stages_of(book),
        "ground": _json(book.ground) if book.ground is not None else None,
        "judged": verdict.judged if verdict is not None else 0,
        "bake_min": state.bake_min,
        "bake_max": state.bake_max,
        "gates": [_json(gate) for gate in worst_first(book.gates)],
        "word": verdict.word.value if verdict is not None else None,
        "sentence": f"{sentence(book)} {waits}".rstrip(),
        "next": following,
        "awaited": state.awaited,
        "approvals_missing": state.missing,
        "announced_at": state.announced_at,
        "stamped_at": text(book.announced.stamped) if book.announced.stamped is not None else None,
        "began_at": state.began_at,
        "updated_at": state.updated_at,
        "rollback": _rollback(book),
        "quarantined": sorted(target.quarantined),
        "superseded_by": state.superseded_by,
        "exposed": target.exposed(book),
        "damage": book.damage,
    }


def stages_of(book: Book) -> list[Document]:
    """Return the stages of the plan, and the soak where the plan has one, each with how far it is."""
    state = book.state
    assert state is not None
    stages = [
        {"name": stage.name, "exposure": stage.exposure, "approvers": list(stage.approvers)} for stage in state.stages
    ]
    if book.plan is not None and book.plan.soak is not None:
        stages.append({"name": SOAK, "exposure": 1.0 - book.plan.soak.holdback, "approvers": []})
    return [
        {**stage, "state": _stage_state(state, place), **_approvals(book, str(stage["name"]))}
        for place, stage in enumerate(stages)
    ]


def _approvals(book: Book, stage: str) -> Document:
    """Return who approved a stage, when and why, and whether that was enough."""
    given = book.approvals.get(stage, [])
    listed = [{"by": one.actor or "unknown", "at": text(one.time), "reason": one.ground.text} for one in given]
    return {"approvals": listed, "approved": bool(given) and given[-1].missing == 0}


def _stage_state(state: RolloutState, place: int) -> str:
    if state.phase is Phase.COMPLETED or place < state.index:
        return "passed"
    if place > state.index:
        waits = place == state.index + 1 and state.awaited is not None
        return "awaiting approval" if waits else ("upcoming" if state.live else "not reached")
    match state.phase:
        case Phase.ROLLING_BACK | Phase.ROLLED_BACK:
            return "failed"
        case Phase.SUPERSEDED:
            return "superseded"
        case Phase.HELD:
            return "held"
        case _:
            return "passed" if state.passed else "current"


def worst_first(gates: tuple[GateVerdict, ...]) -> list[GateVerdict]:
    """Return the gates by how bad they are, those that only advise last."""
    order = list(Word)
    advises = Authority.ADVISE
    return sorted(gates, key=lambda gate: (gate.authority is advises, order.index(gate.word), gate.gate))


def next_of(book: Book, target: TargetBook) -> Document | None:
    """Return what happens next: `{"what", "at", "at_latest", "windows", "who"}`; None where nothing will.

    `at` is the earliest moment by the pace of the plan's windows; `at_latest` the one by which it is decided. Both are
    missing where a person is waited for.
    """
    state = book.state
    assert state is not None
    match state.phase:
        case Phase.AWAITING_APPROVAL:
            roles = next((s.approvers for s in state.stages if s.name == state.awaited), ())
            return {"what": "approval", "stage": state.awaited, "who": list(roles), "missing": state.missing}
        case Phase.HELD:
            return {"what": "resume", "stage": state.stage}
        case Phase.BAKING | Phase.SOAKING:
            return _after_bake(book, state)
        case Phase.ROLLING_BACK:
            return next_of_rollback(book, target)
        case _:
            return None


def _after_bake(book: Book, state: RolloutState) -> Document:
    verdict = book.verdict
    judged = verdict.judged if verdict is not None else 0
    following = state.next_stage
    seconds = book.plan.windows.length if book.plan is not None else 0.0
    since = verdict.window_end if verdict is not None else _moment(state.updated_at)
    earliest, latest = max(0, state.bake_min - judged), max(0, state.bake_max - judged)
    return {
        "what": "stage" if following is not None else ("soak" if _soak_follows(book, state) else "completion"),
        "stage": following.name if following is not None else None,
        "exposure": following.exposure if following is not None else None,
        "approvers": list(following.approvers) if following is not None else [],
        "windows": earliest,
        "windows_at_most": latest,
        "at": text(since + timedelta(seconds=seconds * earliest)),
        "at_latest": text(since + timedelta(seconds=seconds * latest)),
    }


def _soak_follows(book: Book, state: RolloutState) -> bool:
    return state.phase is Phase.BAKING and book.plan is not None and book.plan.soak is not None


def _rollback(book: Book) -> Document | None:
    started = book.started
    if started is None:
        return None
    state = book.state
    began = started.began_at
    return {
        "started_at": text(started.time),
        "stage": started.stage,
        "exposure": started.exposure,
        "why": started.ground.why.value,
        "detected_seconds": (started.time - began).total_seconds() if began is not None else None,
        "contained_seconds": book.contained.seconds if book.contained is not None else None,
        "contained_streams": book.contained.streams if book.contained is not None else None,
        "recovered": state.recovered if state is not None else None,
        "recovered_at": text(book.recovered.time) if book.recovered is not None else None,
        "escalations": [escalation.reason for escalation in book.escalations],
        "steps": [
            {"step": name, "state": state_, "detail": words or None} for name, (state_, words) in book.steps.items()
        ],
    }


def _json(value: Value) -> Document:
    return value.model_dump(mode="json", exclude_none=True)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def plan_document(target: TargetBook) -> list[Document]:
    """Return the registered plans of a target."""
    return [
        {
            "target": target.target,
            "name": plan.name,
            "plan_hash": plan.plan_hash,
            "registered_at": to_json(plan)["time"],
            "by": plan.actor,
            "plan_text": plan.plan_text,
        }
        for plan in target.plans.values()
    ]
