"""The decider: turns windows into verdicts, rollout events into stages, and windows between rollouts into history."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

import msgspec

from penstock.chain import Decide, Decision, Document
from penstock.events import (
    Event,
    PlanRegistered,
    RolloutAnnounced,
    RolloutEvent,
    RolloutHeld,
    RolloutResumed,
    StageEntered,
    StageExtended,
    StageJudged,
    StagePassed,
    WindowClosed,
    to_json,
)
from penstock.plan import Plan, hash_of
from penstock.rollout import Phase, RolloutState, evolve
from services.gate_evaluation.judge import Cohort, GateKind, History, Reason, Window, WindowVerdict, Word
from services.gate_evaluation.judge.versions import CURRENT, Parameters, parameters_of
from services.gate_evaluation.judge_cache import Judges, PackedJudges, history_of, start, version_of
from services.gate_evaluation.judge_spec import judge_spec
from services.gate_evaluation.state import TargetState, dump, load, pack, plan_of, unpack
from services.gate_evaluation.verdict_event import report
from services.gate_evaluation.windows import admitted, judge_window, lost_its_instances

_ACTS = frozenset({Phase.BAKING, Phase.SOAKING})
_MOST_PARKED = 200
_GONE_FOR = 2
"""Windows without a live canary instance before that is a catastrophe: an instance may move to another machine."""


@dataclass(frozen=True, slots=True)
class _Run:
    """One decision: where its judges are kept, and the verdicts that it has reached so far."""

    judges: Judges
    parameters: Parameters
    verdicts: list[StageJudged] = field(default_factory=list)


_PACKED = PackedJudges()


class _Decider:
    """The decider as a function of (target, document, event), and as the version that wrote a record."""

    def __call__(
        self,
        target: str,
        document: Document,
        event: Event,
        judges: Judges = _PACKED,
        parameters: Parameters = CURRENT,
    ) -> Decision:
        """Return what follows from `event` for the target whose state is `document`.

        Args:
            target: whose event it is.
            document: state of the target.
            event: a window, a plan or an event of the target's rollout.
            judges: where judges are kept between calls; the answer does not depend on it.
            parameters: of the judge version that a rollout starts with; a rollout ends with the version it began with.
        """
        return _decide(_Run(judges, parameters), load(document), document, event)

    def as_recorded(self, after: Document) -> Decide:
        """Return the decider of the judge version that the state `after` a record holds.

        Raises:
            InvalidError: this code does not know the version.
        """
        packed = load(after).judge
        return partial(self, parameters=parameters_of(version_of(packed))) if packed else self


decide = _Decider()


def _decide(run: _Run, state: TargetState, document: Document, event: Event) -> Decision:
    match event:
        case WindowClosed():
            state = _on_window_closed(run, state, event)
        case PlanRegistered():
            live = state.rollout is not None and state.rollout.live
            state = state if live else msgspec.structs.replace(state, plan=event.plan_text)
        case RolloutEvent():
            state = _on_rollout_event(run, state, event)
            # The record of a passed stage also holds the events that follow it. They tell whose the parked windows are.
            if not isinstance(event, RolloutAnnounced | StagePassed):
                state = _unpark(run, msgspec.structs.replace(state, waits=""))
        case _:
            return Decision(document)
    plan = hash_of(state.plan) if state.plan else ""
    return Decision(dump(state), tuple(run.verdicts), plan)


def _on_rollout_event(run: _Run, state: TargetState, event: RolloutEvent) -> TargetState:
    before = state.rollout
    after = evolve(before, event)
    state = msgspec.structs.replace(state, rollout=after)
    if isinstance(event, RolloutAnnounced):
        judge = start(judge_spec(event.plan_text), state.history, run.parameters)
        state = msgspec.structs.replace(state, owed=0, canary_seen=False, canary_gone=0)
        return _with_counters_reset(state, plan=event.plan_text, judge=run.judges.save(judge))
    if isinstance(event, StageEntered | RolloutResumed | StageExtended):
        return _restage(run, state, event, after)
    if isinstance(event, RolloutHeld):
        return _with_counters_reset(state)
    if not after.live and state.judge:
        return _with_counters_reset(state, history=history_of(state.judge), judge="")
    return state


def _restage(run: _Run, state: TargetState, event: RolloutEvent, rollout: RolloutState) -> TargetState:
    judge = run.judges.restore(judge_spec(state.plan), state.judge)
    if isinstance(event, StageExtended):
        judge.extend(event.bake_max - judge.max_bake)
    else:
        gates = None if rollout.index >= len(rollout.stages) else plan_of(state.plan).stages[rollout.index].gates
        judge.new_stage(rollout.bake_min, rollout.bake_max, gates)
    return _with_counters_reset(state, judge=run.judges.save(judge))


def _with_counters_reset(state: TargetState, **changes: str) -> TargetState:
    return msgspec.structs.replace(state, seen=0, missing=0, good=0, **changes)


def _unpark(run: _Run, state: TargetState) -> TargetState:
    windows = state.windows()
    state = msgspec.structs.replace(state, parked=())
    for window in windows:
        state = _on_window_closed(run, state, window)
    return state


def _on_window_closed(run: _Run, state: TargetState, window: WindowClosed) -> TargetState:
    if state.waits:
        return msgspec.structs.replace(state, parked=(*state.parked, to_json(window))[-_MOST_PARKED:])
    rollout = state.rollout
    if not state.plan:
        return state
    measured = judge_window(plan_of(state.plan), window)
    if window.received is None:
        # Earlier versions kept it for nothing: every window that changed nothing else wrote a record because of it.
        state = msgspec.structs.replace(state, last=to_json(window)["end"])
    if rollout is None or not rollout.live or rollout.entry is None:
        return _update_history(state, measured)
    if not _belongs(rollout, window):
        return state
    return _judge(run, state, rollout, window, measured)


def _belongs(rollout: RolloutState, window: WindowClosed) -> bool:
    """Whether the window starts after the present stage began or resumed; one that contains that time is left out."""
    return rollout.entered_at is not None and window.began_after(datetime.fromisoformat(rollout.entered_at))


def _update_history(state: TargetState, measured: Window) -> TargetState:
    spec = judge_spec(state.plan)
    halved = measured.a is not None and measured.b is not None
    if not halved and not any(gate.kind is GateKind.OWN_HISTORY for gate in spec.gates):
        return state
    history = History.from_doc(spec.gates, unpack(state.history), spec.window_seconds)
    history.update(measured)
    return msgspec.structs.replace(state, history=pack(history.to_doc()))


def _judge(run: _Run, state: TargetState, rollout: RolloutState, window: WindowClosed, measured: Window) -> TargetState:
    plan, before = plan_of(state.plan), state
    if state.seen < plan.windows.warm_up:
        return msgspec.structs.replace(state, seen=state.seen + 1)
    state, measured = _admit(state, plan, window, measured)
    judge = run.judges.restore(judge_spec(state.plan), state.judge)
    verdict = judge.observe(measured, _known_split(plan, rollout))
    blind = verdict.word is Word.NO_DATA
    state = msgspec.structs.replace(
        state, missing=state.missing + 1 if blind else 0, good=0 if blind else state.good + 1
    )
    final = _acts(state, rollout, verdict)
    unmeasured = _unmeasured(verdict) if blind and window.received is not None else ""
    if unmeasured and unmeasured == before.unmeasured and not final and rollout.phase not in _ACTS:
        return before  # a rollout that waits without data, for the same reasons as after the window before
    event = report(plan, state.plan, rollout, window, verdict, final)
    run.verdicts.append(event)
    return msgspec.structs.replace(
        state,
        judge=run.judges.save(judge),
        unmeasured=unmeasured,
        seen=state.seen + 1,
        waits=event.id if final else "",
    )


def _admit(state: TargetState, plan: Plan, window: WindowClosed, measured: Window) -> tuple[TargetState, Window]:
    """Return the window as it is judged: left out only so often, and with no live instance once the canary has died."""
    if plan.cohorts.by == "service_version":
        seen = state.canary_seen or (measured.canary is not None and bool(measured.canary.measures))
        gone = state.canary_gone + 1 if seen and lost_its_instances(window) else 0
        state = msgspec.structs.replace(state, canary_seen=seen, canary_gone=gone)
    measured, owed = admitted(measured, state.owed, proven=window.late > 0)
    if state.canary_gone >= _GONE_FOR:
        canary = measured.canary if measured.canary is not None else Cohort()
        measured = replace(measured, canary=replace(canary, live=0))
    return msgspec.structs.replace(state, owed=owed), measured


def _unmeasured(verdict: WindowVerdict) -> str:
    """Return which gates were not measured and why, as text."""
    return " ".join(f"{gate.name}={gate.no_data}" for gate in verdict.gates if gate.no_data is not None)


def _known_split(plan: Plan, rollout: RolloutState) -> float | None:
    """Return the share of requests that the canary should have; None where users are assigned, or only an audience."""
    if plan.cohorts.assigned_by != "request" or not 0 < rollout.exposure < 1:
        return None
    stage = plan.stages[rollout.index] if 0 <= rollout.index < len(plan.stages) else None
    return None if stage is not None and stage.audience.all_of else rollout.exposure


def _acts(state: TargetState, rollout: RolloutState, verdict: WindowVerdict) -> bool:
    """Whether rollout control must answer. Later windows are then parked, so that timing cannot change a decision."""
    if verdict.word is Word.BREACH:
        return True
    if verdict.reason is Reason.HELD:
        return rollout.phase in _ACTS or rollout.phase is Phase.AWAITING_APPROVAL
    if rollout.awaits_data:
        return state.good >= _good_windows(state, rollout)
    if rollout.phase not in _ACTS or rollout.passed:
        return False
    # A gap shorter than the minimum bake is waited through: the bake counts only windows that measured every gate.
    return verdict.final or state.missing >= rollout.bake_min


def _good_windows(state: TargetState, rollout: RolloutState) -> int:
    stages = plan_of(state.plan).stages
    return stages[rollout.index].resume_after if 0 <= rollout.index < len(stages) else 1
