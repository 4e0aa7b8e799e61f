"""The deploy announcement that CI sends: a CDEvent `service.deployed` in a CloudEvent, the same id on every retry."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from penstock.cli.rollouts.waiting import Clock
from penstock.client import Client
from penstock.errors import NotFoundError
from penstock.ids import derive
from penstock.targets import Target

CDEVENT = "dev.cdevents.service.deployed.0.3.0"
CDEVENTS_VERSION = "0.5.1"
PATIENCE = 5.0
"""Seconds to look for the outcome of an accepted deploy."""


@dataclass(frozen=True)
class Deploy:
    """What is announced.

    Attributes:
        target: environment, service and flag; version: as users of the service know it.
        plan_name, plan_text: a registered plan's name, or a plan's exact text; neither for the target's only plan.
        artifact: package URL; by default a generic one of service and version.
        notes, author, ticket, changes, risk: for people and for the record.
        source: who announces, a URI reference; key: what makes two announcements the same one.
    """

    target: Target
    version: str
    source: str
    key: str
    plan_name: str | None = None
    plan_text: str | None = None
    artifact: str | None = None
    notes: str | None = None
    author: str | None = None
    ticket: str | None = None
    changes: tuple[str, ...] = ()
    risk: str | None = None


def default_key(target: Target, version: str) -> str:
    """Return the key without one: the same version on the same target is the same deploy."""
    return f"{target}@{version}"


def cdevent(deploy: Deploy, now: datetime) -> dict[str, Any]:
    """Return the announcement as a CDEvent; its id derives from the key, so a retry starts no second rollout."""
    own = {
        "flag": deploy.target.flag,
        "version": deploy.version,
        "plan": deploy.plan_name,
        "planText": deploy.plan_text,
        "releaseNotes": deploy.notes,
        "author": deploy.author,
        "ticket": deploy.ticket,
        "changes": list(deploy.changes) or None,
        "risk": deploy.risk,
    }
    return {
        "context": {
            "specversion": CDEVENTS_VERSION,
            "id": derive("deploy", deploy.key),
            "source": deploy.source,
            "type": CDEVENT,
            "timestamp": now.isoformat().replace("+00:00", "Z"),
        },
        "subject": {
            "id": deploy.target.service,
            "source": deploy.source,
            "content": {
                "environment": {"id": deploy.target.environment},
                "artifactId": deploy.artifact or f"pkg:generic/{deploy.target.service}@{deploy.version}",
            },
        },
        "customData": {"penstock": {name: value for name, value in own.items() if value is not None}},
        "customDataContentType": "application/json",
    }


def cloudevent(event: dict[str, Any]) -> dict[str, Any]:
    """Return the CDEvent in a structured CloudEvent, as the CDEvents binding has it."""
    context = event["context"]
    return {
        "specversion": "1.0",
        "id": context["id"],
        "source": context["source"],
        "type": context["type"],
        "subject": event["subject"]["id"],
        "time": context["timestamp"],
        "datacontenttype": "application/json",
        "data": event,
    }


def refusal_of(client: Client, accepted: Mapping[str, Any], clock: Clock) -> str | None:
    """Return why an accepted deploy starts no rollout; None as soon as it has one, or nothing is recorded in time.

    The console accepts what is well-formed; whether the release may start is decided, and recorded, a moment later.
    """
    until = clock.now() + PATIENCE
    while True:
        try:
            client.rollout(accepted["rollout"])
        except NotFoundError:
            rows = client.events(types="deploy.refused", target=accepted["target"], since="10m")
            refused = [row["event"] for row in rows if row["event"].get("cause") == accepted["id"]]
            if refused:
                return str(refused[-1]["detail"])
        else:
            return None
        if clock.now() >= until:
            return None
        clock.sleep(0.2)
