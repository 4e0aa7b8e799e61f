"""A letter that two copies of a service wrote, or one copy before and after a restart, is shown once."""

from aiokafka import ConsumerRecord

from services.console.read_models.dead_letters import MOST, DeadLetters
from services.runtime.kafka.dead_letters import origin_headers


def letter(at: int, offset: int = 7, service: str = "rollout_control", reason: str = "because") -> ConsumerRecord:
    headers = tuple(origin_headers("commands", 3, offset, service, reason))
    return ConsumerRecord("dead-letters", 0, at, 1, 1, b"k", b"v", None, 1, 1, headers)


def test_repeated_letters_count_once_and_those_of_another_service_or_reason_count_too() -> None:
    letters = DeadLetters()
    for at, one in enumerate((letter(0), letter(1), letter(2, service="flag_control"), letter(3, reason="another"))):
        letters.receive(one)
        assert len(letters.newest(10)) == (1, 1, 2, 3)[at]
    assert letters.received == 3


def test_letters_without_an_origin_are_all_shown_and_only_the_newest_are_kept() -> None:
    letters = DeadLetters()
    for at in range(2):
        letters.receive(ConsumerRecord("dead-letters", 0, at, 1, 1, b"k", b"v", None, 1, 1, ()))
    assert letters.received == 2
    for offset in range(MOST):
        letters.receive(letter(offset + 2, offset))
    assert len(letters.newest(MOST * 2)) == MOST
    assert letters.newest(1)[0]["offset"] == MOST - 1
