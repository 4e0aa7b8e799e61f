"""Turns an event of CI into a deploy on its target, or a list of all its problems; pure."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from penstock.access import Verb, grants_of
from penstock.errors import InvalidError, PlanError, Problem
from penstock.events import DeployAnnounced
from penstock.events.cdevents.deployed import from_deployed
from penstock.events.cloudevents import CloudEvent
from penstock.plan import Plan, load_plan
from penstock.tokens import Identity
from services.console.read_models.projection import Projection

_TEXT = "customData.penstock.planText"


def deploy_of(received: CloudEvent, known: Projection, who: Identity | None) -> DeployAnnounced:
    """Return the deploy that somebody's event announces, with a plan that exists for its target.

    Args:
        who: the authenticated sender; None where nobody is authenticated.

    Raises:
        InvalidError: with every problem found.
    """
    problems = list(_contradictions(received))
    problems += _plan_text_problems(received.data)
    deploy: DeployAnnounced | None = None
    try:
        deploy = from_deployed(received.data, known.flags, who.identity if who is not None else None)
    except InvalidError as error:
        problems += error.problems
    if deploy is not None:
        problems += _plan_problems(deploy, known)
    grants = grants_of(who, deploy.target) if who is not None and deploy is not None else ()
    if who is not None and deploy is not None and Verb.ANNOUNCE not in grants:
        problems.append(Problem("subject", f"{who.identity} may not announce releases of {deploy.target}"))
    if problems or deploy is None:
        raise InvalidError("event", problems)
    return deploy.model_copy(update={"grants": grants})


def _contradictions(received: CloudEvent) -> Sequence[Problem]:
    """The CloudEvent around a CDEvent repeats its id, source and type: two ids would be two events."""
    context = received.data.get("context") if isinstance(received.data, dict) else None
    if not isinstance(context, dict):
        return ()
    return [
        Problem(f"context.{name}", f"{context[name]!r} contradicts the CloudEvent's {received.attributes[name]!r}")
        for name in ("id", "source", "type")
        if name in received.attributes and name in context and received.attributes[name] != context[name]
    ]


def _plan_text_problems(document: Any) -> Sequence[Problem]:
    text = plan_text_of(document)
    read = read_plan(text) if text is not None else None
    if isinstance(read, PlanError):
        return [Problem(f"{_TEXT}: {p.where}", p.what, p.line) for p in read.problems]
    return ()


def plan_text_of(document: Any) -> str | None:
    """Return the text of the plan that an event carries."""
    text = document
    for part in _TEXT.split("."):
        text = text.get(part) if isinstance(text, dict) else None
    return text if isinstance(text, str) else None


@lru_cache(maxsize=64)
def read_plan(text: str) -> Plan | PlanError:
    """Return the plan of a text, or why there is none; kept, so that a shell can read it beside its loop first."""
    try:
        return load_plan(text, new=True)
    except PlanError as error:
        return error.with_traceback(None)


def _plan_problems(deploy: DeployAnnounced, known: Projection) -> Sequence[Problem]:
    registered = sorted(known.target(deploy.target).plans)
    listed = f"registered for {deploy.target}: {', '.join(registered) or 'none'}"
    if deploy.plan_text is not None:
        read = read_plan(deploy.plan_text)
        if isinstance(read, PlanError):
            return ()
        aimed_at = read.target.key
        if aimed_at != deploy.target:
            return [Problem(_TEXT, f"is a plan for {aimed_at}, the deploy is for {deploy.target}")]
        return ()
    if deploy.plan_name is not None and deploy.plan_name not in registered:
        what = f"no plan {deploy.plan_name!r}; {listed}. Register it: penstock plans register FILE"
        return [Problem("customData.penstock.plan", what)]
    if deploy.plan_name is None and len(registered) != 1:
        count = "no plan is" if not registered else "several plans are"
        what = (
            f"is missing: {count} registered for {deploy.target}"
            + (f" ({', '.join(registered)}); name one" if registered else "; run `penstock plans register FILE`")
            + " or embed one with `--plan FILE`"
        )
        return [Problem("customData.penstock.plan", what)]
    return ()
