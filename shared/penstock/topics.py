"""The table of topics in flow order: read top to bottom, it is the pipeline. Creation and documents derive from it."""

from dataclasses import dataclass
from enum import StrEnum

PARTITIONS = 12
"""Partitions of every keyed topic: equal everywhere, so that a target has the same partition number in all of them."""

DAY_MS = 86_400_000
EVIDENCE_MS = 400 * DAY_MS
FOREVER_MS = -1


class Kind(StrEnum):
    """What a topic is for."""

    INTAKE = "intake"
    FRAMES = "frames"
    LOG = "log"
    PUBLIC = "public"
    SNAPSHOTS = "snapshots"
    STATE = "state"
    DEAD_LETTERS = "dead-letters"


@dataclass(frozen=True)
class Topic:
    """One topic.

    Attributes:
        name: as in Kafka, before the prefix of the settings.
        kind: logs are private to deciders, public topics are for everyone.
        key: what the record key is.
        producer: the service that writes it, `external` for outsiders.
        co_producers: other services that write it too.
        consumers: services that read it.
        carries: event types, empty where records are no events.
        retention_ms: -1 without limit.
        compacted: cleanup.policy=compact instead of delete.
        partitions: number.
    """

    name: str
    kind: Kind
    key: str
    producer: str
    consumers: tuple[str, ...]
    carries: tuple[str, ...] = ()
    retention_ms: int = FOREVER_MS
    compacted: bool = False
    partitions: int = PARTITIONS
    co_producers: tuple[str, ...] = ()

    @property
    def producers(self) -> tuple[str, ...]:
        """Every service that writes it."""
        return (self.producer, *self.co_producers)

    def config(self, replication: int = 1) -> dict[str, str]:
        """Return the topic's configuration for creation with so many replicas.

        With three brokers, acknowledged records are on at least two, so that the loss of one loses nothing.
        """
        return {
            "min.insync.replicas": str(min_insync(replication)),
            "cleanup.policy": "compact" if self.compacted else "delete",
            "retention.ms": str(self.retention_ms),
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": "8388608",
            **({"min.cleanable.dirty.ratio": "0.3", "segment.ms": "3600000"} if self.compacted else {}),
        }


def min_insync(replication: int) -> int:
    """Return how many replicas must have a record before it is acknowledged: not all, for one may be down."""
    return 2 if replication >= 3 else 1


_EVERYONE = ("console", "notification")

TOPICS: tuple[Topic, ...] = (
    Topic("deploy-intake", Kind.INTAKE, "any", "external", ("console",), retention_ms=7 * DAY_MS),
    Topic("otlp_metrics", Kind.INTAKE, "any", "external", ("metric_ingestion",), retention_ms=DAY_MS),
    Topic("deploys", Kind.PUBLIC, "target", "console", ("rollout_control", *_EVERYONE), ("deploy.announced",)),
    Topic(
        "commands",
        Kind.PUBLIC,
        "target",
        "console",
        ("rollout_control", "flag_control", *_EVERYONE),
        (
            "promotion.requested",
            "hold.requested",
            "resume.requested",
            "rollback.requested",
            "approval.granted",
            "plan.submitted",
            "lift.requested",
            "kill.requested",
            "undo.requested",
            "opt_out.requested",
            "flag.submitted",
            "archive.requested",
        ),
        # Requests about flags reach flag control by HTTP, so that a kill needs no Kafka; it publishes them itself.
        co_producers=("flag_control",),
    ),
    Topic("metric-frames", Kind.FRAMES, "target", "metric_ingestion", ("metric_ingestion",), retention_ms=DAY_MS),
    Topic(
        "window-log",
        Kind.LOG,
        "target",
        "metric_ingestion",
        ("metric_ingestion", "gate_evaluation", "rollback_execution"),
        retention_ms=EVIDENCE_MS,
    ),
    Topic(
        "metric-windows",
        Kind.PUBLIC,
        "target",
        "metric_ingestion",
        _EVERYONE,
        ("window.closed", "windows.refused"),
        retention_ms=EVIDENCE_MS,
    ),
    Topic(
        "verdict-log",
        Kind.LOG,
        "target",
        "gate_evaluation",
        ("gate_evaluation", "rollout_control"),
        retention_ms=EVIDENCE_MS,
    ),
    Topic(
        "gate-verdicts",
        Kind.PUBLIC,
        "target",
        "gate_evaluation",
        _EVERYONE,
        ("stage.judged",),
        retention_ms=EVIDENCE_MS,
    ),
    Topic(
        "rollout-log",
        Kind.LOG,
        "target",
        "rollout_control",
        ("rollout_control", "gate_evaluation", "flag_control", "rollback_execution"),
    ),
    Topic(
        "rollouts",
        Kind.PUBLIC,
        "target",
        "rollout_control",
        ("metric_ingestion", *_EVERYONE),
        (
            "rollout.announced",
            "approval.awaited",
            "stage.approved",
            "stage.entered",
            "stage.extended",
            "stage.passed",
            "rollout.held",
            "rollout.resumed",
            "rollout.completed",
            "rollback.started",
            "rollback.completed",
            "rollout.superseded",
            "version.quarantined",
            "quarantine.lifted",
            "plan.registered",
            "deploy.refused",
            "deploy.repeated",
            "command.refused",
        ),
    ),
    Topic(
        "plans",
        Kind.STATE,
        "target and plan name",
        "rollout_control",
        ("metric_ingestion", "console"),
        ("plan.registered",),
        compacted=True,
    ),
    Topic(
        "flag-log",
        Kind.LOG,
        "target",
        "flag_control",
        ("flag_control", "rollout_control", "rollback_execution"),
    ),
    Topic(
        "flag-changes",
        Kind.PUBLIC,
        "target",
        "flag_control",
        _EVERYONE,
        (
            "exposure.changed",
            "flag.killed",
            "kill.lifted",
            "flag.edited",
            "flag.archived",
            "flag.stale",
            "edit.refused",
        ),
    ),
    Topic(
        "flag-served",
        Kind.PUBLIC,
        "target",
        "flag_control",
        ("rollback_execution", *_EVERYONE),
        ("flag.served",),
        retention_ms=30 * DAY_MS,
    ),
    Topic("rollback-log", Kind.LOG, "target", "rollback_execution", ("rollback_execution", "rollout_control")),
    Topic(
        "rollback-progress",
        Kind.PUBLIC,
        "target",
        "rollback_execution",
        _EVERYONE,
        (
            "step.started",
            "step.completed",
            "step.failed",
            "step.taken_over",
            "exposure.contained",
            "recovery.verified",
            "rollback.escalated",
            "rollback.executed",
        ),
    ),
    Topic(
        "deliveries",
        Kind.PUBLIC,
        "target",
        "notification",
        ("console", "notification"),
        ("delivery.succeeded", "delivery.failed"),
    ),
    Topic("dead-letters", Kind.DEAD_LETTERS, "origin position", "any", ("console",), retention_ms=90 * DAY_MS),
)
"""Every topic but the snapshots of each log, in the order of the flow."""


def snapshots_of(log: Topic) -> Topic:
    """Return the compacted topic that holds the snapshot generations of `log`."""
    return Topic(
        f"{log.name}.snapshots", Kind.SNAPSHOTS, "generation/target", log.producer, (log.producer,), compacted=True
    )


LOGS: tuple[Topic, ...] = tuple(topic for topic in TOPICS if topic.kind is Kind.LOG)
ALL: tuple[Topic, ...] = (*TOPICS, *(snapshots_of(log) for log in LOGS))
BY_NAME: dict[str, Topic] = {topic.name: topic for topic in ALL}
PUBLIC: tuple[Topic, ...] = tuple(topic for topic in TOPICS if topic.kind is Kind.PUBLIC)


def log_of(service: str) -> Topic:
    """Return the private log in which `service` decides."""
    return next(log for log in LOGS if log.producer == service)


def carriers_of(event_type: str) -> tuple[Topic, ...]:
    """Return the topics that carry events of this type: its public topic first, then compacted state topics."""
    return tuple(sorted((topic for topic in TOPICS if event_type in topic.carries), key=lambda topic: topic.compacted))
