"""Where a follower begins in a partition, and when it must not begin at all."""

import pytest
from aiokafka import TopicPartition

from penstock.errors import EvidenceExpiredError
from penstock.topics import BY_NAME
from services.runtime.kafka.positions import beginning


def begin(topic: str, wanted: int | None, first: int, end: int) -> int:
    return beginning(TopicPartition(f"x.{topic}", 3), BY_NAME[topic], wanted, (first, end), "rollback-log")


@pytest.mark.parametrize(
    ("wanted", "first", "end", "begins"),
    [(None, 0, 0, 0), (0, 0, 0, 0), (0, 0, 9, 0), (5, 0, 9, 5), (9, 0, 9, 9), (7, 7, 9, 7), (9, 9, 9, 9)],
)
def test_what_was_not_consumed_is_read_from_there(wanted: int | None, first: int, end: int, begins: int) -> None:
    assert begin("rollout-log", wanted, first, end) == begins


@pytest.mark.parametrize(("wanted", "first", "end"), [(None, 4, 9), (0, 9, 9), (3, 4, 9)])
@pytest.mark.parametrize("topic", ["rollout-log", "window-log", "commands"])
def test_a_beginning_that_was_removed_unread_stops_with_what_to_do(
    topic: str, wanted: int | None, first: int, end: int
) -> None:
    with pytest.raises(EvidenceExpiredError) as stopped:
        begin(topic, wanted, first, end)
    text = str(stopped.value)
    assert f"x.{topic}-3 begins at offset {first}" in text
    assert f"from {wanted or 0} on" in text
    assert "rollback-log.snapshots" in text


@pytest.mark.parametrize("wanted", [None, 3])
def test_reports_that_their_topic_keeps_for_days_only_are_passed_over(wanted: int | None) -> None:
    assert begin("flag-served", wanted, 40, 50) == 40


@pytest.mark.parametrize("topic", ["rollout-log", "commands", "flag-served"])
def test_a_partition_that_ends_before_what_was_consumed_stops(topic: str) -> None:
    with pytest.raises(EvidenceExpiredError, match=r"ends at offset 2.*up to 5.*created again"):
        begin(topic, 5, 0, 2)
