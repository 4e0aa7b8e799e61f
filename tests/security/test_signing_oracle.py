"""Attacks by webhook steps: a plan that names somebody's secret must not get a signature over what its author wants."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from penstock.egress import Answer, Egress
from penstock.errors import RefusedError
from penstock.events import Saw
from penstock.subscribers import StepUse, Subscribers, load_subscribers
from services.rollback_execution.posting import post
from tests.support.deciders.rollbacks import TARGET, WITH_HOOK, Story, before, started, zeroed
from tests.support.metrics.windows import moment
from tests.support.receiver import SECRET

URL = "https://ci.example/redeploy"


class Watched(Egress):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Mapping[str, str]]] = []

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> Answer:
        self.sent.append((url, headers))
        return Answer(200)


def subscribers(folder: Path, steps: str) -> Subscribers:
    path = folder / "subscribers.yaml"
    path.write_text(f"subscribers: [{{name: ci, url: 'https://chat.example/x', secret: {SECRET}{steps}}}]\n")
    return load_subscribers(path)


async def attempt(known: Subscribers, url: str, target: str = TARGET) -> tuple[Saw, str, Watched]:
    story = Story()
    story.hears(*before(WITH_HOOK.replace(URL, url)), started())
    story.claims(1)
    story.hears(zeroed())
    story.claims(2)
    running = story.state.running
    assert running is not None
    egress = Watched()
    saw, _, reason = await post(egress, known, target, running, moment(3))
    return saw, reason, egress


@pytest.mark.parametrize(
    ("steps", "url", "target"),
    [
        ("", URL, TARGET),
        (", steps: {hosts: ci.example, targets: '*'}", "https://attacker.example/collect", TARGET),
        (", steps: {hosts: ci.example, targets: '*'}", "https://ci.example.attacker.example/", TARGET),
        (", steps: {hosts: ci.example, targets: '*'}", "https://ci.example:8443/redeploy", TARGET),
        (", steps: {hosts: ci.example, targets: '*'}", "https://attacker.example/?https://ci.example/", TARGET),
        (", steps: {hosts: ci.example, targets: '*'}", "https://attacker.example#@ci.example/", TARGET),
        (", steps: {hosts: ci.example, targets: '*'}", "https://ci.example@attacker.example/", TARGET),
        (", steps: {hosts: '*.ci.example', targets: '*'}", URL, TARGET),
        (", steps: {hosts: '*.ci.example', targets: '*'}", "https://evilci.example/", TARGET),
        (", steps: {hosts: ci.example, targets: 'production/*'}", URL, TARGET),
    ],
)
async def test_a_step_gets_no_signature_for_another_host_or_target(
    tmp_path: Path, steps: str, url: str, target: str
) -> None:
    saw, reason, egress = await attempt(subscribers(tmp_path, steps), url, target)
    assert saw is Saw.REFUSED
    assert egress.sent == []
    assert SECRET not in reason


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("ci.example", URL),
        ("CI.example", "https://CI.EXAMPLE/x"),
        ("ci.example:8443", "https://ci.example:8443/"),
        ("*.example", URL),
        ("127.0.0.1:8499", "http://127.0.0.1:8499/hooks"),
        ("[::1]:8499", "http://[::1]:8499/hooks"),
    ],
)
async def test_the_hosts_and_targets_of_the_entry_get_one(tmp_path: Path, host: str, url: str) -> None:
    known = subscribers(tmp_path, f", steps: {{hosts: '{host}', targets: 'staging/shop/*'}}")
    saw, _, egress = await attempt(known, url)
    assert saw is Saw.SUCCEEDED
    assert "webhook-signature" in egress.sent[0][1]


@pytest.mark.parametrize("url", ["https://ci.example\\@attacker.example/", "https://ci.example\n.attacker.example/"])
def test_an_address_that_two_readers_read_differently_is_refused(url: str) -> None:
    use = StepUse(hosts=("ci.example",), targets=("*",))
    try:
        allowed = use.allows(url, TARGET)
    except RefusedError:
        allowed = False
    assert not allowed
