"""A release is announced: which plan it takes, what it replaces, or why it may not start."""

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
from services.rollout_control.course import Course

_MOST_EDITORS = 50


def on_deploy_announced(course: Course, event: DeployAnnounced) -> None:
    """Start the rollout of a release, once per deploy event."""
    key = f"{event.source} {event.id}"
    known = course.state.deploys.get(key)
    if known is not None:
        course.say(DeployRepeated, rollout=known or None)
        return
    refusal = _refusal(course, event)
    if refusal is not None:
        _refuse(course, event, *refusal)
        return
    try:
        text, plan = _plan(course, event)
    except PlanError as error:
        _refuse(course, event, "plan", str(error))
        return
    refusal = plan_refusal(course.state, event, plan)
    if refusal is not None:
        _refuse(course, event, *refusal)
        return
    if not may_plan(event):
        # One that differs in comments only is the registered one: what was registered is what is recorded.
        text = course.state.plans.get(plan.name, text)
    _start(course, event, text, plan)


def _refusal(course: Course, event: DeployAnnounced) -> tuple[str, str] | None:
    version = event.release.version
    if event.actor is not None and event.grants is not None and Verb.ANNOUNCE not in event.grants:
        return "not_announcer", f"{event.actor} may not announce releases of {event.target}"
    if version in course.state.quarantined:
        taken_back = course.state.quarantined[version]
        return "quarantined", (
            f"version {version} was taken back by {taken_back}; a person with the role lifts it: "
            f"penstock quarantine lift {event.target} {version}"
        )
    if course.is_in(Phase.ROLLING_BACK):
        return "rolling_back", f"{course.rollout.id} is being taken back; announce the release again when it is through"
    if course.state.rollout is not None and course.rollout.live and course.rollout.version == version:
        return "already_running", f"{course.rollout.id} is rolling out version {version} already"
    return None


def _refuse(course: Course, event: DeployAnnounced, reason: str, detail: str) -> None:
    course.say(DeployRefused, version=event.release.version, reason=reason, detail=detail)
    course.state = course.state.with_deploy(f"{event.source} {event.id}", "")


def _plan(course: Course, event: DeployAnnounced) -> tuple[str, Plan]:
    plans = course.state.plans
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
    plan = load_plan(text)
    if plan.target.key != event.target:
        raise _missing(event, f"the plan is for {plan.target.key}", plans)
    return text, plan


def _missing(event: DeployAnnounced, what: str, plans: dict[str, str]) -> PlanError:
    known = ", ".join(sorted(plans)) or "none"
    return PlanError(f"deploy of {event.target}", [Problem("plan", f"{what}; registered: {known}")])


def _start(course: Course, event: DeployAnnounced, text: str, plan: Plan) -> None:
    rollout = ids.rollout_id(event.source, event.id)
    if course.state.rollout is not None and course.rollout.live:
        course.move(RolloutSuperseded, Ground(why=Why.NEWER_RELEASE), by=rollout)
    registered = plan.name in course.state.plans
    if may_plan(event) and course.state.plans.get(plan.name) != text:
        register(course, text, plan)
    vouched = registered or may_plan(event)
    announced = course.say(
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
        barred=barred_of(course.state, event, plan.name),
        unvouched=None if vouched else True,
    )
    before = course.state.rollout
    course.put(rollout=evolve(before, announced), plan=text, timers={})
    course.state = course.state.with_deploy(f"{event.source} {event.id}", rollout)
    course.advance(Ground(why=Why.DEPLOYED))


def register(course: Course, text: str, plan: Plan) -> None:
    """Make this the target's plan of its name; the register keeps who changed it."""
    if course.cause.actor is not None and course.state.plans.get(plan.name) != text:
        editors = course.state.plan_editors
        known = dict.fromkeys((*editors.get(plan.name, ()), normalized(course.cause.actor)))
        course.put(plan_editors={**editors, plan.name: tuple(known)[-_MOST_EDITORS:]})
    course.say(PlanRegistered, name=plan.name, plan_hash=hash_of(text), plan_text=text)
    course.put(plans={**course.state.plans, plan.name: text})
