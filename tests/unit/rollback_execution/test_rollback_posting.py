"""The POST of a webhook step: what is sent, and what each ending means."""

from collections.abc import Mapping

import msgspec
import pytest

from penstock.egress import Answer, Egress
from penstock.errors import PenstockError, RefusedError, UnavailableError
from penstock.events import Saw
from penstock.subscribers import StepUse, Subscriber, Subscribers
from penstock.webhooks import verify
from services.rollback_execution.posting import post
from services.rollback_execution.steps.webhook import message_id, pause_after
from tests.support.deciders.rollbacks import STARTED, TARGET, WITH_HOOK, Story, before, started, zeroed
from tests.support.metrics.windows import moment
from tests.support.receiver import SECRET

STEPS = StepUse(hosts=("ci.example",), targets=(TARGET,))
KNOWN = Subscribers([Subscriber(name="ci", secrets=(SECRET,), steps=STEPS)])


class FakeEgress(Egress):
    """Answers or raises as told and keeps what it was given."""

    def __init__(self, ending: Answer | PenstockError) -> None:
        self._ending = ending
        self.sent: list[tuple[str, bytes, Mapping[str, str]]] = []

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> Answer:
        self.sent.append((url, body, headers))
        if isinstance(self._ending, PenstockError):
            raise self._ending
        return self._ending


def at_the_hook() -> Story:
    story = Story()
    story.hears(*before(WITH_HOOK), started())
    story.claims(1)
    story.hears(zeroed())
    story.claims(2)
    return story


async def ending(egress: Egress, subscribers: Subscribers = KNOWN) -> tuple[Saw, int | None, str]:
    running = at_the_hook().state.running
    assert running is not None
    return await post(egress, subscribers, TARGET, running, moment(3))


@pytest.mark.parametrize(
    ("answer", "saw", "status", "words"),
    [
        (Answer(200), Saw.SUCCEEDED, 200, ""),
        (Answer(204), Saw.SUCCEEDED, 204, ""),
        (Answer(302), Saw.FAILED, 302, "HTTP 302"),
        (Answer(410), Saw.FAILED, 410, "HTTP 410"),
        (UnavailableError("no answer"), Saw.FAILED, None, "no answer"),
        (RefusedError("a private address"), Saw.REFUSED, None, "a private address"),
    ],
)
async def test_every_ending_has_its_meaning(
    answer: Answer | PenstockError, saw: Saw, status: int | None, words: str
) -> None:
    assert await ending(FakeEgress(answer)) == (saw, status, words)


async def test_a_secret_that_nobody_has_is_a_refusal_and_nothing_is_sent() -> None:
    egress = FakeEgress(Answer(200))
    saw, _, words = await ending(egress, Subscribers([]))
    assert (saw, words) == (Saw.REFUSED, "the subscribers file has no secret called ci")
    assert egress.sent == []


async def test_every_attempt_by_every_copy_sends_the_same_bytes_under_the_same_id() -> None:
    egress, story = FakeEgress(Answer(503)), at_the_hook()
    for turn in ("first", "retry", "takeover"):
        if turn == "retry":
            story.sees(Saw.FAILED, 3, status=503, reason="HTTP 503")
            story.fires("retry")
        if turn == "takeover":
            story.fires("lease")
            story.claims(30, "rollback-1")
        running = story.state.running
        assert running is not None
        await post(egress, KNOWN, TARGET, running, moment(3))
    bodies = {body for _, body, _ in egress.sent}
    assert len(bodies) == 1
    [body] = bodies
    document = msgspec.json.decode(body)
    assert document["data"]["rollback"] == STARTED
    assert (document["data"]["environment"], document["data"]["flag"]) == ("staging", "banner")
    for url, sent, headers in egress.sent:
        assert url == "https://ci.example/redeploy"
        assert verify([SECRET], headers, sent, moment(3)) == message_id(running) == document["data"]["id"]


def test_pauses_double_up_to_half_a_minute() -> None:
    assert [pause_after(attempt) for attempt in (1, 2, 3, 5, 6, 99)] == [1, 2, 4, 16, 30, 30]
