"""The local broker's cluster id on a command line."""

import pytest

from penstock.local.kafka.broker import _cluster_id


@pytest.mark.parametrize("first", range(0, 256, 5))
def test_a_cluster_id_is_22_characters_and_never_looks_like_an_option(first: int) -> None:
    made = _cluster_id(bytes([first, *range(240, 255)]))
    assert len(made) == 22
    assert not made.startswith("-")
