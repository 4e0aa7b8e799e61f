"""Mixed fleets: which clients split users otherwise than this server does."""

import pytest

from services.flag_control.evaluation.bucketing import Bucketing
from services.flag_control.evaluation.evaluator import Evaluator, context_of
from services.flag_control.evaluation.validate import check
from services.flag_control.serving.client_libraries import disagreement, family_of, parse_bucketings
from services.flag_control.serving.store import FlagSet, FlagStore
from tests.support.flags.sets import EVERY_KIND, boolean

AGENTS = {
    "grpc-python/1.82.1 grpc-c/54.0.0 (linux; chttp2)": "python",
    "grpc-python-asyncio/1.82.1 grpc-c/54.0.0 (linux; chttp2)": "python",
    "grpc-node-js/1.14.7": "node",
    "grpc-java-netty/1.70.0": "java",
    "grpc-go/1.70.0": "go",
    "grpc-dotnet/2.60.0 (.NET 8.0)": "dotnet",
    "curl/8": "unknown",
    "": "unknown",
}


@pytest.mark.parametrize("agent", AGENTS)
def test_a_family_is_told_from_the_user_agent(agent: str) -> None:
    assert family_of(agent) == AGENTS[agent]


def flag_set(bucketing: Bucketing, split: bool) -> FlagSet:
    targeting = {"fractional": [["on", 1], ["off", 1]]} if split else None
    store = FlagStore()
    store.publish(check("set", {"flags": {"f": boolean(targeting=targeting)}}, bucketing=bucketing).source)
    found = store.get()
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("bucketing", "family", "warns"),
    [
        ("v3", "python", False),
        ("v3", "node", True),
        ("v2", "python", True),
        ("v2", "go", False),
        ("v2", "unknown", False),
    ],
)
def test_a_client_that_hashes_otherwise_is_named_where_users_are_split(
    bucketing: str, family: str, warns: bool
) -> None:
    assert (disagreement(flag_set(Bucketing(bucketing), True), family) is not None) is warns
    assert disagreement(flag_set(Bucketing(bucketing), False), family) is None


def test_bucketing_has_a_default_and_exceptions_by_set() -> None:
    found = parse_bucketings("v2, production/shop=v3")
    assert found == {"": Bucketing.V2, "production/shop": Bucketing.V3}
    assert parse_bucketings("v3")[""] is Bucketing.V3
    with pytest.raises(ValueError, match="v4"):
        parse_bucketings("v4")


REFERENCE = {
    "split": "....x...xx....x.xx.....................x",
    "short-split": "xx..xxx..x...x..x....x.x.........xx.xx.x",
}
"""Who of user-0 to user-39 is `on`, by the JavaScript evaluator @openfeature/flagd-core 4.0.1."""


@pytest.mark.parametrize("key", REFERENCE)
def test_bucketing_v2_puts_users_where_the_javascript_evaluator_does(key: str) -> None:
    flags = {name: EVERY_KIND["flags"][name] for name in REFERENCE}
    evaluator = Evaluator(flags, dict.fromkeys(flags, Bucketing.V2))
    contexts = [context_of({"targetingKey": f"user-{number}"}) for number in range(40)]
    found = ["x" if evaluator.resolve(key, context).variant == "on" else "." for context in contexts]
    assert "".join(found) == REFERENCE[key]
