"""The decider of flag control: events of the rollout, requests of people and timers become versions of the flag."""

from functools import lru_cache

from msgspec.structs import replace

from penstock.chain import Decision, Document
from penstock.events import (
    Event,
    ExposureChanged,
    FlagRequest,
    FlagStale,
    RollbackStarted,
    RolloutAnnounced,
    RolloutCompleted,
    RolloutSuperseded,
    StageEntered,
    TimerFired,
)
from penstock.plan import Plan, load_plan
from services.flag_control.flag.change import Change, definition_of
from services.flag_control.flag.lifecycle import STALE, armed, stale_at
from services.flag_control.flag.requests import on_request
from services.flag_control.flag.rollout_rule import forbids_announcement, same_cohorts_served
from services.flag_control.flag.state import Reach, dump, load

EXPOSING = (RolloutAnnounced, StageEntered, RolloutCompleted, RollbackStarted, RolloutSuperseded)
"""Events of a rollout that change a flag; each leads to a record."""


def decide(target: str, document: Document, event: Event) -> Decision:
    """Return what follows from `event` for the flag whose state is `document`."""
    change = Change(target, load(document), event)
    match event:
        case RolloutAnnounced():
            _on_announced(change, event)
        case StageEntered():
            reach = Reach(event.exposure, event.audience, event.id, event.rollout)
            _expose(change, reach, event, live=True)
        case RolloutCompleted():
            _expose(change, Reach(1.0, {}, event.id, event.rollout, released=True), event, live=False)
        case RollbackStarted() | RolloutSuperseded():
            _expose(change, Reach(0.0, {}, event.id, event.rollout), event, live=False)
        case FlagRequest():
            on_request(change, event)
        case TimerFired():
            _on_timer_fired(change, event)
        case _:
            return Decision(document)
    change.put(decided=change.decided)
    return Decision(dump(change.state), tuple(change.events))


def _on_announced(change: Change, event: RolloutAnnounced) -> None:
    """Use the plan's names of the variants; nobody is served the release before a stage is entered."""
    if change.state.archived:
        stays = f"the flag is archived at {change.state.archived!r}, and stays so"
        change.refuse(event, "not_allowed", f"{stays}: roll this release out by another key")
        return
    plan = _plan_of(event.plan_text)
    canary, baseline = plan.cohorts.canary, plan.cohorts.baseline
    definition = change.state.definition
    if {canary, baseline} <= set(definition.variants):
        definition = replace(definition, on=canary, off=baseline)
    elif not definition.split and not definition.pins:
        definition = replace(definition, variants={canary: True, baseline: False}, on=canary, off=baseline)
    if why := forbids_announcement(change.state, definition):
        change.refuse(event, "not_allowed", why)
        return
    reach = change.state.reach
    if reach.exposure > 0 and not (reach.released and same_cohorts_served(change.state.definition, definition)):
        # Users of the former release, or pinned to the former baseline, would be moved to this release unapproved.
        change.put(reach=Reach(0.0, {}, event.id, event.rollout or ""))
    lifecycle = definition.lifecycle
    lifecycle = replace(
        lifecycle,
        owner=lifecycle.owner or plan.owners[0],
        created=lifecycle.created or event.at.date().isoformat(),
        ticket=event.release.ticket or lifecycle.ticket,
        notes=event.release.notes or lifecycle.notes,
    )
    definition = replace(definition, lifecycle=lifecycle)
    change.put(definition=definition, live=True, release=event.release.version)
    before = change.state.version
    change.apply_version(event.type)
    if change.state.version != before:
        change.report_version(
            ExposureChanged,
            entry=event.id,
            exposure=change.exposure,
            previous=change.exposure_before,
            definition=definition_of(change.state),
        )


def _expose(change: Change, reach: Reach, event: Event, live: bool) -> None:
    change.put(reach=reach, live=live)
    change.apply_version(event.type)
    change.report_version(
        ExposureChanged,
        entry=event.id,
        exposure=change.exposure,
        previous=change.exposure_before,
        definition=change.taken_over,
    )


def _on_timer_fired(change: Change, event: TimerFired) -> None:
    state = change.state
    if event.timer != STALE or state.timers.get(STALE) != event.due.isoformat():
        return
    found = stale_at(state, event.due)
    if found is None:
        change.state = armed(state, event.due)
        return
    since, rule = found
    change.add(FlagStale, rule=rule, since=since, owner=state.definition.lifecycle.owner or None)
    change.state = armed(state, event.due, reported=True)


@lru_cache(maxsize=64)
def _plan_of(text: str) -> Plan:
    return load_plan(text)
