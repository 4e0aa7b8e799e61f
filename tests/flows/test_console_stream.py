"""The event stream over real HTTP, read by the client we ship: the console dies midway, nothing is missed."""

import asyncio
import threading

from penstock.client import Client
from penstock.events import RolloutHeld, RolloutResumed
from services.runtime.http.server import HttpServer
from tests.support.builders import an
from tests.support.console.app import ConsoleApp
from tests.support.console.story import promoted


class Listener:
    """Reads the stream in a thread, as the command line does."""

    def __init__(self, url, count, **query):
        self.ids = []
        self.connected = threading.Event()
        self._client = Client(url, sleep=lambda seconds: None)
        self._thread = threading.Thread(target=self._read, args=(count, query), daemon=True)
        self._thread.start()

    def _read(self, count, query):
        for message in self._client.stream(**query):
            self.ids.append(message.event["id"])
            self.connected.set()
            if len(self.ids) >= count:
                return

    async def done(self):
        await asyncio.to_thread(self._thread.join, 30)
        assert not self._thread.is_alive(), f"only {len(self.ids)} events arrived"


async def serve(console, port=0):
    server = HttpServer(console.app, "127.0.0.1", port)
    await server.start()
    return server


def wait_for(flag):
    return asyncio.to_thread(flag.wait, 20)


async def test_a_subscriber_survives_the_consoles_death_without_gap_or_repeat():
    told = promoted().events
    first = ConsoleApp()
    server = await serve(first)
    for topic, event in told[:10]:
        first.hear(topic, event)
    listener = Listener(f"http://127.0.0.1:{server.port}", len(told), since="1h")
    assert await wait_for(listener.connected)
    for topic, event in told[10:20]:
        first.hear(topic, event)
    await asyncio.sleep(0.3)
    first.hub.close()
    await server.stop()

    # Another life: it has heard the same events in another order, and more of them.
    second = ConsoleApp(life="another")
    for topic, event in sorted(told, key=lambda pair: pair[0]):
        second.hear(topic, event)
    again = await serve(second, server.port)
    try:
        await listener.done()
    finally:
        second.hub.close()
        await again.stop()
    assert len(listener.ids) == len(set(listener.ids))
    assert set(listener.ids) == {event.id for _, event in told}


async def test_only_what_is_asked_for_arrives():
    console = ConsoleApp()
    server = await serve(console)
    try:
        listener = Listener(f"http://127.0.0.1:{server.port}", 2, types="rollout.held", since="1h")
        console.hear("rollouts", an(RolloutHeld, time="2026-03-02T14:29:00Z"))
        console.hear("rollouts", an(RolloutResumed, time="2026-03-02T14:29:01Z"))
        assert await wait_for(listener.connected)
        console.hear("rollouts", an(RolloutHeld, id="second", time="2026-03-02T14:29:02Z"))
        await listener.done()
        assert listener.ids == [an(RolloutHeld).id, "second"]
    finally:
        console.hub.close()
        await server.stop()
