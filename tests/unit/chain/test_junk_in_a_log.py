"""Bytes that another program wrote into a log or among snapshots are refused as such, whatever they are."""

import pytest

from penstock.chain import assemble
from penstock.chain.record import decode
from penstock.errors import CorruptError

JUNK = {
    "empty": b"",
    "text": b"garbage",
    "no UTF-8": b"\xff\xfe\x00",
    "a list": b"[1,2]",
    "null": b"null",
    "not a number": b"NaN",
    "nested open": b'{"x":' * 5_000,
    "nested": b'{"x":' * 50_000 + b"1" + b"}" * 50_000,
    "nested lists": b"[" * 100_000 + b"]" * 100_000,
    "a prev that is no text": b'{"prev": 1, "cursor": {}, "target": "a/b/c"}',
    "half a surrogate": b'{"prev": "\\ud800", "cursor": {}}',
    "a huge number": b'{"schema": 1' + b"0" * 10_000 + b"}",
}


@pytest.mark.parametrize("value", JUNK.values(), ids=JUNK)
def test_it_is_no_record(value: bytes) -> None:
    with pytest.raises(CorruptError):
        decode(value)


def test_it_belongs_to_no_generation_of_snapshots() -> None:
    assert assemble(list(JUNK.values())) is None
