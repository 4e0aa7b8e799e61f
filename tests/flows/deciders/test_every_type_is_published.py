"""The table of topics lists what its producers publish: each type comes out of the real service, and none besides."""

import asyncio
from functools import cache
from pathlib import Path

import pytest

from penstock.events import BY_TYPE, Event, FlagRequest
from penstock.events.cloudevents import CloudEvent
from penstock.tokens import Identity
from penstock.topics import BY_NAME, PUBLIC
from services.console.commands import VERBS, Commands, LiftBody, VerbBody
from services.console.intake.cdevents import deploy_of
from services.notification.deliver import Outcome
from services.notification.job import Job, Position
from services.notification.records import record_of
from tests.flows.deciders.test_quiet_waits import Quiet, in_every_phase
from tests.flows.deciders.test_random_histories import play
from tests.flows.deciders.test_timers_are_documented import flags, rollbacks, rollouts
from tests.support.builders import deployed
from tests.support.console.story import project
from tests.support.metrics.target import Target
from tests.support.metrics.windows import moment
from tests.support.plans import SHORT, TARGET

DECIDED = ("gate-verdicts", "rollouts", "flag-changes", "rollback-progress")
REQUESTS = [name for name, kind in BY_TYPE.items() if issubclass(kind, FlagRequest)]
ON_KAFKA = {
    "flag.served": "test_flag_control_on_kafka.py",
    **{
        name: "beside/test_flag_requests_on_commands.py"
        for name, kind in BY_TYPE.items()
        if issubclass(kind, FlagRequest)
    },
}
"""What flag control publishes from its running shell, and the test on a real broker that receives it."""

COMMANDS = [
    ("deploy", 0, "/ci", 1, 0),
    ("deploy", 0, "/ci", 1, 0),
    ("command", "approve", 1),
    ("command", "rollback", 1),
    ("deploy", 0, "/ci", 2, 0),
    ("deploy", 0, "/other", 1, 0),
    ("windows", "no canary", 4),
    ("wait", 3700),
    ("command", "lift", 1),
    ("command", "plan", 1),
    ("command", "kill", 1),
    ("command", "archive", 1),
    ("command", "archive", 2),
]


@cache
def decided() -> dict[str, set[str]]:
    """Return the types that the deciders decide in histories through every phase, by public topic."""
    stacks = [in_every_phase(), *(Quiet() for _ in range(3)), play(COMMANDS), play(EXTENDED)]
    for story, stack in zip((rollouts, rollbacks, flags), stacks[1:4], strict=True):
        assert isinstance(stack, Quiet)
        story(stack)
    types = {event.type for stack in stacks for event in stack.pipeline.said}
    return {topic: {name for name in types if name in BY_NAME[topic].carries} for topic in DECIDED} | {"": types}


EXTENDED = [
    ("deploy", 5, "/ci", 1, 0),
    *[("windows", "good", 4)] * 4,
    ("deploy", 2, "/ci", 2, 0),
    ("command", "approve", 2),
]


@pytest.mark.parametrize("topic", DECIDED)
def test_the_deciders_publish_what_their_topics_list(topic: str) -> None:
    assert decided()[topic] == set(BY_NAME[topic].carries)


def test_the_deciders_decide_nothing_that_no_topic_lists() -> None:
    assert decided()[""] <= {name for topic in PUBLIC for name in topic.carries}


def who() -> Identity:
    return Identity(sha256="0" * 64, identity="ann", roles=("admin",))


async def test_the_console_publishes_what_its_topics_list() -> None:
    published: dict[str, list[Event]] = {"commands": [], "deploys": []}

    async def publish(topic: str, event: Event) -> None:
        published[topic].append(event)

    commands = Commands(project(), publish, moment, lambda: "unique")
    body = VerbBody(reason="because")
    requests = [commands.on_rollout(verb, "ro-1", TARGET, body, who(), None) for verb in VERBS]
    requests.append(commands.lift(LiftBody(reason="because", target=TARGET, version="1"), who(), None))
    requests.append(commands.plan(SHORT, TARGET, "because", who(), None))
    await asyncio.gather(*(commands.ask(request, patience=0.01) for request in requests))
    await publish("deploys", deploy_of(CloudEvent({}, deployed(planText=SHORT)), project(), who()))
    by_console = {name for name in BY_NAME["commands"].carries if name not in ON_KAFKA}
    assert {event.type for event in published["commands"]} == by_console
    assert {event.type for event in published["deploys"]} == set(BY_NAME["deploys"].carries)


def test_ingestion_publishes_what_its_topic_lists() -> None:
    target = Target()
    for report in range(12):
        target.traffic(0.5 + 5 * report, covering=5)
    assert {event.type for event in target.told} == set(BY_NAME["metric-windows"].carries)


def test_notification_publishes_what_its_topic_lists() -> None:
    job = Job(("chat", "e1"), "rollout.held", TARGET, "ro-1", Position("rollouts", 0, 1), 1, moment())
    outcomes = (Outcome(200), Outcome(503, "HTTP 503", again=True))
    records = [record_of(job, "x", outcome, moment(), 0.1, 1.0) for outcome in outcomes]
    assert {record.type for record in records} == set(BY_NAME["deliveries"].carries)


@pytest.mark.parametrize(("event_type", "test"), sorted(ON_KAFKA.items()))
def test_what_a_running_shell_publishes_is_received_in_a_test_on_kafka(event_type: str, test: str) -> None:
    text = (Path(__file__).parents[2] / "kafka" / test).read_text()
    assert f'"{event_type}"' in text


def test_no_public_topic_is_left_out() -> None:
    seen = {*DECIDED, "commands", "deploys", "metric-windows", "deliveries", "flag-served"}
    assert {topic.name for topic in PUBLIC} == seen
