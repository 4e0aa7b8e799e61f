"""From the record to the facts: what happened when, how it was found, what it cost, who was notified."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeVar

from penstock.errors import NotFoundError
from penstock.events import (
    Cohort,
    DeliverySucceeded,
    Event,
    ExposureChanged,
    ExposureContained,
    FlagServed,
    GateVerdict,
    RecoveryVerified,
    RollbackCompleted,
    RollbackEscalated,
    RollbackStarted,
    RolloutAnnounced,
    StageEntered,
    StageJudged,
    WindowClosed,
    Word,
    to_json,
)
from penstock.events.deliveries import Delivery
from penstock.postmortem.counts import bad_of
from penstock.postmortem.facts import Detection, Durations, Excess, Impact, Moment, Notified, Postmortem, Said

E = TypeVar("E", bound=Event)


def postmortem(rollout: str, record: Iterable[Said]) -> Postmortem:
    """Return the facts of a rollout.

    Args:
        record: the rollout's events, its target's windows, deliveries, in any order; others are passed over.

    Raises:
        NotFoundError: the record does not hold the rollout's announcement.
    """
    said = _ordered(_once(record))
    own = [entry for entry in said if entry.event.rollout == rollout]
    announced = _first(own, RolloutAnnounced)
    if announced is None:
        raise NotFoundError(f"the record holds no announcement of {rollout}")
    started = _first(own, RollbackStarted)
    windows = [e.event for e in said if isinstance(e.event, WindowClosed) and e.event.target == announced.target]
    ids = {entry.event.id for entry in own}
    deliveries = [e.event for e in said if isinstance(e.event, Delivery) and e.event.event in ids]
    return Postmortem(
        rollout=rollout,
        target=announced.target,
        service=announced.release.service,
        version=announced.release.version,
        plan_name=announced.plan_name,
        plan_hash=announced.plan_hash,
        plan_text=announced.plan_text,
        code=announced.code,
        trigger=next(_moment(e, own) for e in own if e.event is announced),
        outcome=_outcome(own),
        impact=_impact(own, windows, started),
        durations=_durations(own, started),
        timeline=tuple(_moment(entry, own) for entry in own if _tells(entry.event)),
        notified=_notifications(deliveries),
        escalations=tuple(e.event.reason for e in own if isinstance(e.event, RollbackEscalated)),
        detection=_detection(started),
        notes=announced.release.notes,
        ticket=announced.release.ticket,
    )


def _once(record: Iterable[Said]) -> list[Said]:
    found: dict[str, Said] = {}
    for entry in record:
        found.setdefault(entry.event.id, entry)
    return list(found.values())


def _ordered(said: Sequence[Said]) -> list[Said]:
    """Sort by time, causes before their effects: what one cause leads to all bears its time."""
    causes = {entry.event.id: entry.event.cause for entry in said}

    def depth(event: str) -> int:
        seen: list[str] = []
        at: str | None = event
        while at is not None and at in causes and at not in seen:
            seen.append(at)
            at = causes[at]
        return len(seen)

    return sorted(said, key=lambda e: (e.event.time, depth(e.event.id), getattr(e.event, "sequence", None) or 0))


def _first(said: Sequence[Said], kind: type[E]) -> E | None:
    return next((entry.event for entry in said if isinstance(entry.event, kind)), None)


def _tells(event: Event) -> bool:
    """Whether an event belongs in a timeline: watching verdicts and deliveries would drown the rest."""
    if isinstance(event, StageJudged):
        return event.final
    return not isinstance(event, Delivery | WindowClosed)


def _moment(entry: Said, own: Sequence[Said]) -> Moment:
    event = entry.event
    asked = [e.event for e in own if e.event.actor == event.actor and getattr(e.event, "roles", None)]
    roles = ", ".join(getattr(asked[-1], "roles", ())) if asked else ""
    return Moment(
        time=to_json(event)["time"],
        type=event.type,
        what=_what(event),
        id=event.id,
        position=entry.position,
        by=(roles or "a person or machine with a token") if event.actor else "",
        actor=event.actor or "",
    )


def _what(event: Event) -> str:
    if isinstance(event, ExposureChanged):
        return f"{100 * event.previous:.4g} % to {100 * event.exposure:.4g} %, flag version {event.version}"
    if isinstance(event, FlagServed):
        return f"flag version {event.version} sent to {event.served} of {event.streams} streams"
    details = [
        part for name in ("stage", "step", "version", "what") if isinstance(part := getattr(event, name, None), str)
    ]
    if isinstance(event, StageEntered):
        details.append(f"{100 * event.exposure:.4g} %")
    if isinstance(event, StageJudged):
        details += [str(event.word).replace("_", " "), *event.blamed]
    ground = getattr(event, "ground", None)
    if ground is not None:
        details.append(str(ground.why).replace("_", " "))
    details += [part for name in ("reason", "detail") if isinstance(part := getattr(event, name, None), str)]
    return ", ".join(details)


def _detection(started: RollbackStarted | None) -> Detection | None:
    if started is None:
        return None
    ground = started.ground
    blamed = tuple(gate for gate in ground.gates if gate.word is Word.BREACH) or ground.gates
    end = str(ground.model_dump(mode="json")["window_end"]) if ground.window_end else ""
    return Detection(str(ground.why), ground.text or "", started.cause or "", end, blamed if end else ())


def _outcome(own: Sequence[Said]) -> str:
    words = {
        "rollback.completed": "rolled back",
        "rollback.started": "being rolled back",
        "rollout.superseded": "superseded",
        "rollout.completed": "promoted to everyone",
        "rollout.held": "held",
    }
    for entry in reversed(own):
        if entry.event.type in words:
            return words[entry.event.type]
    return "under way"


def _impact(own: Sequence[Said], windows: Sequence[WindowClosed], started: RollbackStarted | None) -> Impact:
    entered = [entry.event for entry in own if isinstance(entry.event, StageEntered)]
    began = entered[0].time if entered else None
    ended = _contained_at(own) or own[-1].event.time
    during = [w for w in windows if began is not None and w.end > began and w.start <= ended]
    return Impact(
        exposure=max((event.exposure for event in entered), default=0.0),
        exposed_seconds=(ended - began).total_seconds() if began else None,
        requests=sum(_requests(window) for window in during),
        windows=len(during),
        complete=bool(during) and began is not None and (during[0].start - began).total_seconds() <= during[0].seconds,
        excess=_excess(started.ground.gates if started else (), during),
    )


def _contained_at(own: Sequence[Said]) -> datetime | None:
    contained = _first(own, ExposureContained)
    return contained.time if contained else None


def _requests(window: WindowClosed) -> float:
    # Gates may count the same requests: the largest count is the traffic.
    return max((bad_of(measure, None)[1] for measure in window.measures.get(Cohort.CANARY, {}).values()), default=0.0)


def _excess(gates: Sequence[GateVerdict], windows: Sequence[WindowClosed]) -> tuple[Excess, ...]:
    """Compare what the release's requests met with the baseline's rate over the same windows, gate by gate."""
    found = []
    for gate in gates:
        events, total = _counted(gate, windows, Cohort.CANARY)
        base_events, base_total = _counted(gate, windows, Cohort.BASELINE)
        if total and base_total:
            rate = base_events / base_total
            found.append(Excess(gate.gate, gate.kind, events, total, rate, events - total * rate))
    return tuple(sorted(found, key=lambda excess: -excess.excess))


def _counted(gate: GateVerdict, windows: Sequence[WindowClosed], cohort: Cohort) -> tuple[float, float]:
    measured = [w.measures[cohort][gate.gate] for w in windows if gate.gate in w.measures.get(cohort, {})]
    pairs = [bad_of(measure, gate.detail.get("edge")) for measure in measured]
    return sum(events for events, _ in pairs), sum(total for _, total in pairs)


def _durations(own: Sequence[Said], started: RollbackStarted | None) -> Durations:
    if started is None:
        return Durations(None, None, None, None, None)
    tipped = _tipped_at(started)
    contained, recovered = _first(own, ExposureContained), _first(own, RecoveryVerified)
    completed = _first(own, RollbackCompleted)
    well = recovered.time if recovered else (completed.time if completed and completed.recovered else None)
    return Durations(
        detect=((tipped or started.time) - started.began_at).total_seconds() if started.began_at else None,
        decide=(started.time - tipped).total_seconds() if tipped else None,
        contain=contained.seconds if contained else None,
        safe=(contained.time - tipped).total_seconds() if contained and tipped else None,
        recover=(well - started.time).total_seconds() if well else None,
    )


def _tipped_at(started: RollbackStarted) -> datetime | None:
    """Return the end of the window that tipped the decision, None where its clock cannot be right.

    Windows bear the time of the metrics' sources, all else the time at which Penstock received it.
    """
    tipped, began = started.ground.window_end, started.began_at
    if tipped is None or tipped > started.time or (began is not None and tipped < began):
        return None
    return tipped


def _notifications(deliveries: Sequence[Delivery]) -> tuple[Notified, ...]:
    by: dict[tuple[str, str], list[Delivery]] = {}
    for delivery in deliveries:
        by.setdefault((delivery.subscriber, delivery.event), []).append(delivery)
    found = []
    for (subscriber, event), attempts in by.items():
        accepted = next((a for a in attempts if isinstance(a, DeliverySucceeded)), None)
        last = accepted or attempts[-1]
        time = to_json(last)["time"]
        found.append(Notified(subscriber, event, last.event_type, len(attempts), time, accepted is not None))
    return tuple(found)
