"""Whose plan a release may take, and who must approve it: decided from the recorded identity and its grants alone."""

from penstock.access import Verb, normalized
from penstock.events import DeployAnnounced, StageOutline
from penstock.plan import Plan, load_plan
from penstock.tokens import Role
from services.rollout_control.state import TargetState

_BY_POLICY = (str(Role.RELEASE_MANAGER),)
"""Roles that approve where the plan's own do not count, or where it names none."""


def may_plan(event: DeployAnnounced) -> bool:
    """Whether the announcer may register plans for the target."""
    return event.actor is not None and Verb.PLAN in (event.grants or ())


def plan_refusal(state: TargetState, event: DeployAnnounced, plan: Plan) -> tuple[str, str] | None:
    """Return why the embedded plan is refused: reason and detail. None where it may be taken."""
    if event.plan_text is None or may_plan(event) or not state.plans:
        return None
    known = state.plans.get(plan.name)
    if known is not None and (known == event.plan_text or load_plan(known) == plan):
        return None
    announcer = event.actor or "a deploy without an identity"
    return "not_planner", (
        f"{announcer} may not change the plan of {event.target}, and the embedded one differs from those registered "
        f"({', '.join(sorted(state.plans))}): name a registered plan, or have a planner register this one: "
        "penstock plans register FILE"
    )


def outlines(plan: Plan, event: DeployAnnounced, vouched: bool) -> tuple[StageOutline, ...]:
    """Return the plan's stages with the approvals that plan and policy ask for.

    An announcer without an identity might be any of the approvers, so each approval takes one person more. A plan that
    nobody entitled has vouched for does not choose its approvers, and does not start without one.
    """
    planned = any(stage.approval is not None for stage in plan.stages)
    first = not vouched or (event.actor is None and not planned)
    found = []
    for index, stage in enumerate(plan.stages):
        roles: tuple[str, ...] = ()
        count: int | None = None
        if stage.approval is not None:
            roles = stage.approval.roles if vouched else _BY_POLICY
            count = stage.approval.count + 1 if event.actor is None else None
        elif index == 0 and first:
            roles = _BY_POLICY
        found.append(StageOutline(name=stage.name, exposure=stage.exposure, approvers=roles, approvals=count))
    return tuple(found)


def barred_of(state: TargetState, event: DeployAnnounced, plan: str) -> tuple[str, ...] | None:
    """Return the identities that may not approve the release, normalized; None for announcements of older versions."""
    if event.grants is None:
        return None
    named = (event.actor, event.verified_author, event.release.author)
    barred = {normalized(name) for name in named if name} | set(state.plan_editors.get(plan, ()))
    return tuple(sorted(barred)) or None
