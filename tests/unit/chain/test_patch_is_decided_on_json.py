"""A record is written where the state's JSON changes, and only there: Python's equality is another one."""

from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.chain import Document, diff, digest_of, merge

scalars = st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, -0.0, 1.0, 0.5]) | st.text(max_size=3)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)
documents = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


def as_read(document: Document) -> Document:
    """Return the document as a log's reader has it."""
    read: Document = msgspec.json.decode(msgspec.json.encode(document))
    return read


@given(documents)
@example({"a": ("x",)})
@example({"a": [{"b": ()}]})
def test_a_state_that_was_written_and_read_is_no_change(document: Document) -> None:
    assert diff(as_read(document), document) == {}
    assert diff(document, as_read(document)) == {}


@given(documents, documents)
@example({"a": -0.0}, {"a": 0.0})
@example({"a": 1}, {"a": True})
@example({"a": [1]}, {"a": [1.0]})
def test_a_reader_that_applies_the_patch_has_the_state_that_was_decided(before: Document, after: Document) -> None:
    patch: dict[str, Any] = diff(as_read(before), after)
    assert digest_of(merge(as_read(before), as_read(patch))) == digest_of(after)
