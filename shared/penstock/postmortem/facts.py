"""The facts of a postmortem, as values; `gather` takes them from the record, `text` writes them down."""

import msgspec

from penstock.events import Event, GateVerdict


class Said(msgspec.Struct, frozen=True):
    """An event with where it stands, `topic/partition@offset`."""

    event: Event
    position: str


class Moment(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the timeline. `actor` is the identity that asked, for those who may see it; `by` what they were."""

    time: str
    type: str
    what: str
    id: str
    position: str
    by: str = ""
    actor: str = ""


class Excess(msgspec.Struct, frozen=True):
    """What the canary showed beyond the baseline's rate, by one gate over the stage: events of requests."""

    gate: str
    kind: str
    canary_events: float
    canary_requests: float
    baseline_rate: float
    excess: float


class Detection(msgspec.Struct, frozen=True, omit_defaults=True):
    """The verdict that tipped it.

    Attributes:
        gates: those that were blamed, with their numbers; verdict: id of the event; window_end: of its window.
        why: ground of the rollback, where no gate was.
    """

    why: str
    text: str = ""
    verdict: str = ""
    window_end: str = ""
    gates: tuple[GateVerdict, ...] = ()


class Impact(msgspec.Struct, frozen=True):
    """What it cost.

    Attributes:
        exposure: largest share of the audience that had it; exposed_seconds: from the first stage to containment.
        requests: of the canary in the windows known; windows: how many; complete: whether they reach back to the start.
        excess: by gate, worst first.
    """

    exposure: float
    exposed_seconds: float | None
    requests: float
    windows: int
    complete: bool
    excess: tuple[Excess, ...]


class Durations(msgspec.Struct, frozen=True):
    """Seconds; None where it did not happen or is not recorded.

    Attributes:
        detect: from the first exposure to the end of the window that tipped it.
        decide: from that window's end to the rollback, by event time (decisions bear the time of their cause).
        contain: from the rollback to the last flag client, measured by flag control.
        safe: from the end of the window that tipped it to the last flag client, by their clocks.
        recover: from the rollback to the window that showed recovery.
    """

    detect: float | None
    decide: float | None
    contain: float | None
    safe: float | None
    recover: float | None


class Notified(msgspec.Struct, frozen=True, omit_defaults=True):
    """One subscriber and one event: when it was first delivered, or that it was not."""

    subscriber: str
    event: str
    event_type: str
    attempts: int
    time: str
    delivered: bool


class Postmortem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The facts of one rollout."""

    rollout: str
    target: str
    service: str
    version: str
    plan_name: str
    plan_hash: str
    plan_text: str
    code: str
    trigger: Moment
    outcome: str
    impact: Impact
    durations: Durations
    timeline: tuple[Moment, ...]
    notified: tuple[Notified, ...]
    escalations: tuple[str, ...] = ()
    detection: Detection | None = None
    notes: str | None = None
    ticket: str | None = None
