"""A release is announced: which plan it takes, what it replaces, or why it may not start."""

from datetime import datetime, timedelta

from penstock import __version__, ids
from penstock.access import Verb, normalized
from penstock.errors import PlanError, Problem
from penstock.events import (
    DeployAnnounced,
    DeployRefused,
    DeployRepeated,
    Ground,
    PlanRegistered,
    RolloutAnnounced,
    RolloutSuperseded,
    Why,
)
from penstock.plan import Plan, hash_of, load_plan
from penstock.rollout import Phase, evolve
from services.rollout_control.admission import barred_of, may_plan, outlines, plan_refusal
from services.rollout_control.draft import RolloutDraft

_MOST_EDITORS = 50
_CLOCKS_AGREE = timedelta(minutes=1)


def on_deploy_announced(draft: RolloutDraft, event: DeployAnnounced) -> None:
    """Start the rollout of a release, once per deploy event."""
    key = _key_of(event)
    known = draft.state.deploys.get(key)
    if known is not None:
        draft.add(DeployRepeated, rollout=known or None)
        return
    refusal = _refusal(draft, event)
    if refusal is not None:
        _refuse(draft, event, *refusal)
        return
    try:
        text, plan = _plan(draft, event)
    except PlanError as error:
        _refuse(draft, event, "plan", str(error))
        return
    refusal = plan_refusal(draft.state, event, plan)
    if refusal is not None:
        _refuse(draft, event, *refusal)
        return
    if not may_plan(event):
        # One that differs in comments only is the registered one: what was registered is what is recorded.
        text = draft.state.plans.get(plan.name, text)
    _start(draft, event, text, plan)


def _key_of(event: DeployAnnounced) -> str:
    if " " in event.source or " " in event.id:
        # With a space in between, (`a b`, `c`) and (`a`, `b c`) would be one deploy.
        return ids.derive("deploy", event.source, event.id)
    return f"{event.source} {event.id}"


def _refusal(draft: RolloutDraft, event: DeployAnnounced) -> tuple[str, str] | None:
    version = event.release.version
    if event.actor is not None and event.grants is not None and Verb.ANNOUNCE not in event.grants:
        return "not_announcer", f"{event.actor} may not announce releases of {event.target}"
    if version in draft.state.quarantined:
        rolled_back = draft.state.quarantined[version]
        return "quarantined", (
            f"version {version} was rolled back by {rolled_back}; a person with the role lifts the quarantine: "
            f"penstock quarantine lift {event.target} {version}"
        )
    if draft.is_in(Phase.ROLLING_BACK):
        return "rolling_back", f"{draft.rollout.id} is being rolled back; announce the release again after that"
    if draft.state.rollout is not None and draft.rollout.live and draft.rollout.version == version:
        return "already_running", f"{draft.rollout.id} is rolling out version {version} already"
    return None


def _refuse(draft: RolloutDraft, event: DeployAnnounced, reason: str, detail: str) -> None:
    draft.add(DeployRefused, version=event.release.version, reason=reason, detail=detail)
    draft.state = draft.state.with_deploy(_key_of(event), "")


def _plan(draft: RolloutDraft, event: DeployAnnounced) -> tuple[str, Plan]:
    plans = draft.state.plans
    if event.plan_text is not None:
        text = event.plan_text
    elif event.plan_name is not None:
        if event.plan_name not in plans:
            raise _missing(event, f"no plan {event.plan_name!r} is registered for it", plans)
        text = plans[event.plan_name]
    elif len(plans) == 1:
        text = next(iter(plans.values()))
    else:
        raise _missing(event, "the event names no plan, and there is not exactly one for the target", plans)
    plan = load_plan(text, new=True)
    if plan.target.key != event.target:
        raise _missing(event, f"the plan is for {plan.target.key}", plans)
    return text, plan


def _missing(event: DeployAnnounced, what: str, plans: dict[str, str]) -> PlanError:
    known = ", ".join(sorted(plans)) or "none"
    return PlanError(f"deploy of {event.target}", [Problem("plan", f"{what}; registered: {known}")])


def _start(draft: RolloutDraft, event: DeployAnnounced, text: str, plan: Plan) -> None:
    rollout = ids.rollout_id(event.source, event.id, *((event.target,) if event.received is not None else ()))
    if draft.state.rollout is not None and draft.rollout.live:
        draft.transition(RolloutSuperseded, Ground(why=Why.NEWER_RELEASE), by=rollout)
    registered = plan.name in draft.state.plans
    if may_plan(event) and draft.state.plans.get(plan.name) != text:
        register(draft, text, plan)
    vouched = registered or may_plan(event)
    announced = draft.add(
        RolloutAnnounced,
        rollout=rollout,
        sequence=1,
        plan_hash=hash_of(text),
        code=__version__,
        ground=Ground(why=Why.DEPLOYED),
        release=event.release,
        plan_name=plan.name,
        plan_text=text,
        stages=outlines(plan, event, vouched),
        stamped=_stamp_far_off(event),
        barred=barred_of(draft.state, event, plan.name),
        unvouched=None if vouched else True,
    )
    before = draft.state.rollout
    draft.put(rollout=evolve(before, announced), plan=text, timers={})
    draft.state = draft.state.with_deploy(_key_of(event), rollout)
    draft.advance(Ground(why=Why.DEPLOYED))


def _stamp_far_off(event: DeployAnnounced) -> datetime | None:
    """Return the time that CI stamped, where its clock or a delay put it far from when the event was received."""
    received = event.received
    return event.time if received is not None and abs(event.time - received) > _CLOCKS_AGREE else None


def register(draft: RolloutDraft, text: str, plan: Plan) -> None:
    """Make this the target's plan of its name; the register keeps who changed it."""
    if draft.cause.actor is not None and draft.state.plans.get(plan.name) != text:
        editors = draft.state.plan_editors
        known = dict.fromkeys((*editors.get(plan.name, ()), normalized(draft.cause.actor)))
        draft.put(plan_editors={**editors, plan.name: tuple(known)[-_MOST_EDITORS:]})
    draft.add(PlanRegistered, name=plan.name, plan_hash=hash_of(text), plan_text=text)
    draft.put(plans={**draft.state.plans, plan.name: text})
