"""An acknowledged record outlives the loss of one broker, wherever there are enough of them."""

import pytest

from penstock.topics import ALL, Topic


@pytest.mark.parametrize("topic", ALL, ids=lambda topic: topic.name)
def test_with_three_replicas_two_must_have_a_record_and_with_fewer_one_does(topic: Topic) -> None:
    needed = {copies: int(topic.config(copies)["min.insync.replicas"]) for copies in range(1, 6)}
    assert needed == {1: 1, 2: 1, 3: 2, 4: 2, 5: 2}
