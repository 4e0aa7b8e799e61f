"""The least that each service must be allowed in Kafka, generated from the table of topics."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from penstock.topics import ALL, Kind, Topic

GROUPS: Mapping[str, tuple[str, ...]] = {
    "metric_ingestion": ("penstock-ingestion", "penstock-otlp"),
    "console": ("penstock-console-intake",),
    "notification": ("penstock-notification",),
}
"""Consumer groups by service, before the prefix of the settings; the other services read without a group."""

SERVICES = (
    "metric_ingestion",
    "gate_evaluation",
    "rollout_control",
    "flag_control",
    "rollback_execution",
    "notification",
    "console",
)
OUTSIDERS: Mapping[str, str] = {"ci": "deploy-intake", "collector": "otlp_metrics"}
"""Who is no service, and the topic that it may write."""

ROLES = (*SERVICES, *OUTSIDERS)
_BURIES_ONCE = frozenset({"metric_ingestion", "console"})
"""Services that read the dead letters, so as to write each one once."""

Operation = Literal["Read", "Write", "Create", "Describe"]


@dataclass(frozen=True)
class Acl:
    """One rule: `principal` may do `operation` on the topic or group of exactly that name."""

    principal: str
    operation: Operation
    resource: Literal["topic", "group"]
    name: str

    def command(self, bootstrap: str) -> str:
        """Return the line of `kafka-acls.sh` that adds it."""
        allowed = f"--allow-principal {self.principal!r} --operation {self.operation} --{self.resource} {self.name}"
        return f"kafka-acls.sh --bootstrap-server {bootstrap} --add {allowed}"


def principal_of(role: str) -> str:
    """Return the principal that a role has unless another is named."""
    return f"User:penstock-{role.replace('_', '-')}"


def acls(principals: Mapping[str, str], prefix: str = "") -> list[Acl]:
    """Return every rule that the named roles need, each once.

    Args:
        principals: Kafka principal by role (`ROLES`); several roles may share one.
        prefix: of the topic names, as in the settings.
    """
    rules = (rule for role, principal in principals.items() for rule in _rules(role, principal, prefix))
    return list(dict.fromkeys(rules))


def _rules(role: str, principal: str, prefix: str) -> Iterator[Acl]:
    if role in OUTSIDERS:
        yield Acl(principal, "Write", "topic", prefix + OUTSIDERS[role])
        return
    for topic in ALL:
        name = prefix + topic.name
        # A service looks for all topics when it starts, and creates those that are missing.
        yield Acl(principal, "Describe", "topic", name)
        yield Acl(principal, "Create", "topic", name)
        if _writes(role, topic):
            yield Acl(principal, "Write", "topic", name)
        if _reads(role, topic):
            yield Acl(principal, "Read", "topic", name)
    for group in GROUPS.get(role, ()):
        yield Acl(principal, "Read", "group", prefix + group)


def _writes(service: str, topic: Topic) -> bool:
    # The console publishes refused inputs from outside again (`penstock dead-letters redrive`).
    redrives = service == "console" and topic.kind is Kind.INTAKE
    return topic.producer == service or topic.kind is Kind.DEAD_LETTERS or redrives


def _reads(service: str, topic: Topic) -> bool:
    # What a service publishes it reads once, at its start: to go on behind the last event that it published.
    own = topic.producer == service and topic.kind in {Kind.PUBLIC, Kind.STATE}
    redrives = service == "console" and topic.kind is Kind.INTAKE
    buries = topic.kind is Kind.DEAD_LETTERS and service in _BURIES_ONCE
    return service in topic.consumers or own or buries or redrives
