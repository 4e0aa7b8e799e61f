"""The store: revisions by content, selectors, and mailboxes of one slot."""

import asyncio
import hashlib
import json

from services.flag_control.evaluation.validate import check
from services.flag_control.serving.store import FlagStore
from tests.support.flags.sets import boolean


def source(name: str, set_id: str | None = None, **flags: object):
    metadata = {"metadata": {"flagSetId": set_id}} if set_id else {}
    return check(name, {"flags": flags or {"a": boolean()}, **metadata}).source


def test_a_revision_is_the_hash_of_the_bytes_that_are_served():
    store = FlagStore()
    store.publish(source("one"))
    found = store.get()
    assert found is not None
    assert found.revision == hashlib.sha256(found.body).hexdigest()
    assert set(json.loads(found.body)) == {"flags"}, "no metadata, no evaluators: clients would trip over them"


def test_one_and_one_point_zero_and_true_are_different_revisions():
    revisions = set()
    for value in (1, 1.0, True):
        store = FlagStore()
        store.publish(source("one", a={"state": "ENABLED", "variants": {"x": value}, "defaultVariant": "x"}))
        found = store.get()
        assert found is not None
        revisions.add(found.revision)
    assert len(revisions) == 3


def test_later_sources_win_and_keep_their_place_when_they_change():
    store = FlagStore()
    store.publish(source("one", a=boolean(defaultVariant="off"), b=boolean()))
    store.publish(source("two", a=boolean(defaultVariant="on")))
    store.publish(source("one", a=boolean(defaultVariant="off"), c=boolean()))
    found = store.get()
    assert found is not None
    assert found.flags["a"]["defaultVariant"] == "on"
    assert set(found.flags) == {"a", "c"}


def test_a_selector_takes_a_source_by_name_or_a_set_by_id():
    store = FlagStore()
    store.publish(source("one.json", "x", a=boolean()))
    store.publish(source("two.json", "x", b=boolean()))
    store.publish(source("three.json", "y", c=boolean()))
    for selector, keys in {
        "": {"a", "b", "c"},
        "flagSetId=x": {"a", "b"},
        "flagSetId=y": {"c"},
        "source=one.json": {"a"},
        "one.json": {"a"},
        " source=three.json ": {"c"},
    }.items():
        found = store.get(selector)
        assert found is not None, selector
        assert set(found.flags) == keys
    assert store.get("flagSetId=z") is None
    assert store.get("source=zzz") is None


async def test_a_slow_reader_finds_the_newest_set_and_no_queue():
    store = FlagStore()
    store.publish(source("one"))
    with store.subscribed("") as mailbox:
        first = await mailbox.next_set()
        for number in range(10):
            store.publish(source("one", a=boolean(metadata={"n": number})))
        newest = await mailbox.next_set()
        assert newest.flags["a"]["metadata"] == {"n": 9}
        assert first.revision != newest.revision
        waiting = asyncio.ensure_future(mailbox.next_set())
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()


async def test_only_readers_of_a_changed_set_are_told_and_all_get_the_same_object():
    store = FlagStore()
    store.publish(source("one", "x"))
    store.publish(source("two", "y", b=boolean()))
    with store.subscribed("flagSetId=x") as x, store.subscribed("flagSetId=y") as y, store.subscribed("") as everything:
        for mailbox in (x, y, everything):
            await mailbox.next_set()
        store.publish(source("one", "x", a=boolean(defaultVariant="on")))
        assert (await x.next_set()) is store.get("flagSetId=x"), "serialised once"
        assert (await everything.next_set()).flags["a"]["defaultVariant"] == "on"
        waiting = asyncio.ensure_future(y.next_set())
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()


async def test_the_same_content_again_tells_nobody():
    store = FlagStore()
    store.publish(source("one"))
    with store.subscribed("") as mailbox:
        await mailbox.next_set()
        store.publish(source("one"))
        waiting = asyncio.ensure_future(mailbox.next_set())
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()


async def test_a_reader_that_came_before_its_set_gets_it():
    store = FlagStore()
    with store.subscribed("flagSetId=x") as mailbox:
        waiting = asyncio.ensure_future(mailbox.next_set())
        await asyncio.sleep(0)
        store.publish(source("one", "x"))
        assert set((await waiting).flags) == {"a"}
