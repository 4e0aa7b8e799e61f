"""What a gzip body holds: a client may send several members, and each of them counts."""

import gzip

import pytest

from penstock.errors import InvalidError
from services.runtime.http.bodies import inflate


def test_every_member_of_a_gzip_body_is_read() -> None:
    assert inflate(gzip.compress(b"one ") + gzip.compress(b"two"), 100) == b"one two"


def test_a_member_that_is_cut_short_is_refused_with_all_before_it() -> None:
    with pytest.raises(InvalidError, match="cut short"):
        inflate(gzip.compress(b"one ") + gzip.compress(b"two")[:-4], 100)


def test_bytes_after_the_last_member_are_refused() -> None:
    with pytest.raises(InvalidError, match="not gzip"):
        inflate(gzip.compress(b"one") + b"trailing", 100)
