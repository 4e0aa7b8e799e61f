"""The console's HTTP application without Kafka: a projection that a test feeds, and a publisher that it reads."""

from collections.abc import Callable, Sequence
from datetime import datetime
from types import SimpleNamespace

from aiokafka import ConsumerRecord
from starlette.applications import Starlette

from penstock.events import Event
from penstock.tokens import Identity, Tokens, digest_of
from services.console.application import Access, Health, Outward, ReadModels, application
from services.console.commands import Commands
from services.console.flag_control_client import FlagControl
from services.console.http_api.event_stream import Hub
from services.console.http_api.security import Door
from services.console.read_models.dead_letters import DeadLetters
from services.console.read_models.projection import Projection
from services.console.redrive import Redrive
from tests.support.console.story import NOW

ROLES = {
    "ci": ("publisher",),
    "olga": ("operator",),
    "ann": ("release-manager",),
    "pat": ("planner",),
    "root": ("admin",),
    "otel": ("metrics",),
}


class HeldTokens:
    """Tokens that a test may replace, as a tokens file is edited."""

    def __init__(self, held: Tokens) -> None:
        self.held = held

    @property
    def tokens(self) -> tuple[Identity, ...]:
        """All of them."""
        return self.held.tokens

    def identify(self, authorization: str | None) -> Identity:
        """Return whose token it is."""
        return self.held.identify(authorization)


class HeldTopics:
    """Topics in memory: what is appended can be read, and becomes a letter on `dead-letters`.

    Attributes:
        problem: what the check of seals finds; fails: an error instead of the next append to that topic.
    """

    def __init__(self, letters: DeadLetters, now: Callable[[], datetime]) -> None:
        self.prefix = ""
        self.records: dict[str, list[ConsumerRecord]] = {}
        self.problem: str | None = None
        self.fails: dict[str, Exception] = {}
        self._letters, self._now = letters, now

    async def append_and_wait(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> SimpleNamespace:
        """Append a record."""
        if topic in self.fails:
            raise self.fails.pop(topic)
        held = self.records.setdefault(topic, [])
        at, place = int(self._now().timestamp() * 1000), (topic, partition or 0, len(held))
        held.append(ConsumerRecord(*place, at, 1, key, value, None, 0, len(value), tuple(headers)))
        if topic == "dead-letters":
            self._letters.receive(held[-1])
        return SimpleNamespace(partition=partition or 0, offset=place[2])

    async def read(self, topic: str, partition: int, offset: int) -> ConsumerRecord | None:
        """Return a record."""
        held = self.records.get(topic, [])
        return next((one for one in held if (one.partition, one.offset) == (partition, offset)), None)


class ConsoleApp:
    """The application and what is around it.

    Attributes:
        published: (topic, event) in order; `on_publish` may answer for the services that are not there.
    """

    def __init__(
        self,
        projection: Projection | None = None,
        now: datetime = NOW,
        life: str = "test",
        flag_control: FlagControl | None = None,
        closed: bool = False,
        tokens: Tokens | None = None,
    ) -> None:
        self.projection = projection or Projection()
        self.letters = DeadLetters()
        self.now = now
        self.published: list[tuple[str, Event]] = []
        self.on_publish: Callable[[str, Event], None] = lambda topic, event: None
        self._unique = 0
        self.hub = Hub(self.projection, life)
        tokens = tokens or Tokens(
            tokens=tuple(Identity(sha256=digest_of(f"{who}-token"), identity=who, roles=r) for who, r in ROLES.items())
        )
        self.tokens = HeldTokens(tokens)
        door = Door(self.tokens, b"key")
        commands = Commands(self.projection, self.publish, self.clock, self._next)
        self.topics = HeldTopics(self.letters, self.clock)
        seals = lambda _: self.topics.problem  # noqa: E731
        redrive = Redrive(self.letters, self.topics, self.topics.read, seals, self.clock)
        flag_control = flag_control or FlagControl("http://127.0.0.1:1")
        self.app: Starlette = application(
            ReadModels(self.projection, self.letters, self.hub),
            Outward(commands, self.publish, flag_control, redrive),
            Access(door, frozenset({"console", "localhost"}), closed),
            Health(lambda: True, lambda: True, lambda: True),
            self.clock,
        )

    def clock(self) -> datetime:
        """The test's time."""
        return self.now

    def hear(self, topic: str, event: Event) -> None:
        """Have the console hear an event."""
        self.projection.receive(topic, 0, self.projection.seq, event)

    async def publish(self, topic: str, event: Event) -> None:
        """Take what the console publishes; it hears it too, as it does from Kafka."""
        self.published.append((topic, event))
        self.hear(topic, event)
        self.on_publish(topic, event)

    def _next(self) -> str:
        self._unique += 1
        return f"unique-{self._unique}"
