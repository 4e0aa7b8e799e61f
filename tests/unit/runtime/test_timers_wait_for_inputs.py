"""Timers fire when they are due, never ahead of inputs that stand unread, and not early because a clock jumped."""

from datetime import UTC, datetime, timedelta
from math import inf

from aiokafka import TopicPartition

from services.runtime.clock.ticker import Ticker
from services.runtime.clock.watermark import PATIENCE_S, Sight

OWN, SOURCE = TopicPartition("some-log", 0), TopicPartition("commands", 0)
TARGET = "test/one/flag"
START = datetime(2030, 1, 1, tzinfo=UTC)


class World:
    """Two clocks that tests move, and what the follower of one partition sees."""

    def __init__(self, ends: dict[TopicPartition, int], due: float = 10.0) -> None:
        self.seconds = 100.0
        self.skew = timedelta()
        self.position = dict.fromkeys(ends, 0)
        self.end = dict(ends)
        self.seen = dict.fromkeys(ends, -inf)
        self.ticker = Ticker("/test", self.wall, lambda: self.seconds)
        self.ticker.follow(0, OWN, ends, self.seconds)
        self.arm(due)

    def wall(self) -> datetime:
        return START + timedelta(seconds=self.seconds) + self.skew

    def arm(self, after: float) -> None:
        """Fold a state with a timer that is due so many seconds from now."""
        self.ticker.note(0, TARGET, {"timers": {"deadline": (self.wall() + timedelta(seconds=after)).isoformat()}})

    def sight(self, place: TopicPartition) -> Sight:
        return Sight(self.position[place], self.end[place], self.seen[place])

    def pass_time(self, seconds: float, *answering: TopicPartition) -> list[str]:
        """Let time pass in ticks, while the broker answers for some partitions; return the timers that fired."""
        fired: list[str] = []
        until = self.seconds + seconds
        while self.seconds < until:
            self.seconds += 0.5
            for place in answering:
                self.seen[place] = self.seconds
            fired += self.tick()
        return fired

    def tick(self) -> list[str]:
        self.ticker.look()
        return [event.timer for event in self.ticker.due(0, self.sight)]

    def read(self, place: TopicPartition) -> None:
        self.position[place] = self.end[place]


def test_a_timer_fires_while_its_inputs_are_idle() -> None:
    world = World({OWN: 0, SOURCE: 0})
    assert world.pass_time(9, OWN, SOURCE) == []
    assert world.pass_time(2, OWN, SOURCE) == ["deadline"]
    assert world.pass_time(20, OWN, SOURCE) == []


def test_after_a_restart_a_timer_waits_until_what_stood_in_the_inputs_has_been_read() -> None:
    world = World({OWN: 3, SOURCE: 5}, due=-3600)
    world.read(OWN)
    assert not world.ticker.caught_up(world.sight)
    assert world.pass_time(20, OWN, SOURCE) == []
    world.position[SOURCE] = 4
    assert world.pass_time(1, OWN, SOURCE) == []
    world.read(SOURCE)
    assert world.ticker.caught_up(world.sight)
    assert world.tick() == ["deadline"]


def test_a_timer_that_an_unread_input_disarms_never_fires() -> None:
    world = World({OWN: 0, SOURCE: 1}, due=-1)
    world.read(OWN)
    assert world.pass_time(5, OWN, SOURCE) == []
    world.ticker.note(0, TARGET, {"timers": {}})
    world.read(SOURCE)
    assert world.pass_time(5, OWN, SOURCE) == []


def test_without_anything_to_read_a_service_has_caught_up_at_once() -> None:
    world = World({OWN: 0, SOURCE: 0})
    assert world.ticker.caught_up(world.sight)


def test_during_an_outage_of_the_brokers_and_until_all_is_read_behind_it_no_timer_fires() -> None:
    world = World({OWN: 0, SOURCE: 0})
    world.pass_time(5, OWN, SOURCE)
    assert world.pass_time(600) == []
    world.end[SOURCE] = 7
    assert world.pass_time(5, OWN) == []
    assert world.pass_time(5, OWN, SOURCE) == []
    world.read(SOURCE)
    assert world.tick() == ["deadline"]


def test_under_steady_load_a_timer_fires_once_what_was_written_before_its_time_is_read() -> None:
    world = World({OWN: 0, SOURCE: 0}, due=2)
    fired = []
    for _ in range(10):
        world.position[SOURCE] = world.end[SOURCE]
        world.end[SOURCE] += 10
        fired += world.pass_time(0.5, OWN, SOURCE)
    assert fired == ["deadline"]


def test_an_input_that_stays_out_of_reach_does_not_disarm_deadlines_as_long_as_they_can_be_recorded() -> None:
    world = World({OWN: 0, SOURCE: 0}, due=1)
    world.pass_time(0.5, OWN, SOURCE)
    assert world.pass_time(PATIENCE_S, OWN) == []
    assert world.pass_time(PATIENCE_S, OWN) == ["deadline"]


def test_a_clock_that_jumps_ahead_fires_no_deadline_early() -> None:
    world = World({OWN: 0, SOURCE: 0})
    world.pass_time(4, OWN, SOURCE)
    world.skew = timedelta(hours=1)
    assert world.pass_time(5, OWN, SOURCE) == []
    assert world.pass_time(2, OWN, SOURCE) == ["deadline"]


def test_a_clock_that_is_set_back_does_not_hold_a_deadline_up() -> None:
    world = World({OWN: 0, SOURCE: 0})
    world.pass_time(4, OWN, SOURCE)
    world.skew = timedelta(hours=-1)
    assert world.pass_time(5, OWN, SOURCE) == []
    assert world.pass_time(2, OWN, SOURCE) == ["deadline"]


def test_what_is_armed_after_a_jump_goes_by_the_clock_of_then_and_the_event_names_the_due_time_of_the_state() -> None:
    world = World({OWN: 0, SOURCE: 0})
    world.skew = timedelta(hours=1)
    assert world.ticker.look() == timedelta(hours=1)
    assert world.ticker.look() == timedelta()
    due = world.wall() + timedelta(seconds=3)
    world.arm(3)
    world.pass_time(2, OWN, SOURCE)
    world.seconds += 2
    world.seen = dict.fromkeys(world.seen, world.seconds)
    (event,) = world.ticker.due(0, world.sight)
    assert event.due == due


def test_a_clock_that_is_slewed_has_not_jumped() -> None:
    world = World({OWN: 0, SOURCE: 0})
    for _ in range(100):
        world.seconds += 0.5
        world.skew += timedelta(milliseconds=200)
        assert world.ticker.look() == timedelta()
    assert world.skew > timedelta(seconds=10)
