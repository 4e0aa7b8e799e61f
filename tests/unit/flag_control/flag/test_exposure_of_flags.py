"""Whom a flag exposes, asked of the evaluator that clients run."""

from itertools import pairwise

import msgspec
import pytest

from services.flag_control.evaluation.bucketing import Bucketing
from services.flag_control.evaluation.evaluator import Evaluator, context_of
from services.flag_control.flag.exposure import TOTAL, flag_document
from services.flag_control.flag.state import Definition, FlagState, Kill, Reach, Slice

TARGET = "production/shop/banner"
USERS = [f"user-{number}" for number in range(800)]
STARS = Definition(variants={"off": 0, "a": 1, "b": 2, "c": 3}, off="off", on="a", split={"a": 1, "b": 1, "c": 2})


def flag(definition: Definition | None = None, exposure: float = 1.0, **changes: object) -> FlagState:
    given = definition or Definition()
    reach = changes.pop("reach", Reach(exposure=exposure))
    return FlagState(version=1, definition=given, reach=reach, **changes)  # type: ignore[arg-type]


def variants(state: FlagState, *, bucketing: Bucketing = Bucketing.V3, target: str = TARGET, **attributes: str):
    evaluator = Evaluator({"flag": flag_document(target, state)}, {"flag": bucketing})
    return {user: evaluator.resolve("flag", context_of({"targetingKey": user, **attributes})).variant for user in USERS}


def exposed(state: FlagState, **options: str) -> set[str]:
    return {user for user, variant in variants(state, **options).items() if variant != state.definition.off}


@pytest.mark.parametrize("bucketing", list(Bucketing))
@pytest.mark.parametrize("definition", [Definition(), STARS, Definition(slice=Slice("group", 10_000, 90_000))])
def test_whoever_is_exposed_stays_exposed_while_a_ramp_widens(definition, bucketing):
    steps = [variants(flag(definition, share), bucketing=bucketing) for share in (0.01, 0.05, 0.25, 0.5, 0.98, 1.0)]
    for narrow, wide in pairwise(steps):
        kept = {user: variant for user, variant in narrow.items() if variant != definition.off}
        assert kept
        assert kept.items() <= wide.items(), "also in the same arm"
        assert sum(v != definition.off for v in wide.values()) > len(kept)


def test_a_ramp_that_stops_and_starts_again_exposes_the_same_users():
    before = exposed(flag(exposure=0.25))
    assert exposed(flag(exposure=0.0)) == set()
    assert exposed(flag(exposure=0.25)) == before


@pytest.mark.parametrize(("share", "low", "high"), [(0.05, 18, 68), (0.5, 340, 460)])
def test_a_share_is_met(share, low, high):
    assert low <= len(exposed(flag(exposure=share))) <= high


def test_weights_always_add_up_to_the_same_total():
    for share in (0.00001, 1 / 3, 0.98):
        rule = flag_document(TARGET, flag(exposure=share))["targeting"]
        buckets = rule["if"][1]["fractional"][1:]
        assert sum(weight for _, weight in buckets) == TOTAL
        assert [name for name, _ in buckets] == ["on", "off"], "never reordered"


def test_whoever_has_no_targeting_key_is_not_exposed_by_a_percentage():
    evaluator = Evaluator({"flag": flag_document(TARGET, flag(exposure=0.99))}, {"flag": Bucketing.V3})
    for context in ({}, {"email": "a@example.com"}, {"targetingKey": ""}):
        assert evaluator.resolve("flag", context_of(context)).variant == "off"


def test_the_audience_comes_before_the_percentage():
    audience = {"all_of": [{"attribute": "email", "ends_with": "@example.com"}, {"attribute": "plan", "any_of": ["a"]}]}
    state = flag(reach=Reach(exposure=0.5, audience=audience))
    inside = exposed(state, email="x@example.com", plan="a")
    assert inside == exposed(flag(exposure=0.5))
    assert exposed(state, email="x@example.org", plan="a") == set()
    assert exposed(state, email="x@example.com", plan="b") == set()
    assert exposed(state) == set()


def test_whoever_opted_out_is_not_exposed_even_when_everyone_is():
    state = flag(opted_out={"targetingKey": ("user-1", "user-2"), "account": ("acme",)})
    assert exposed(state) == set(USERS) - {"user-1", "user-2"}
    assert exposed(state, account="acme") == set()
    assert exposed(state, account="other") == set(USERS) - {"user-1", "user-2"}


def test_an_opt_out_stands_above_a_pinned_segment():
    definition = Definition(
        segments={"staff": [{"attribute": "email", "ends_with": "@example.com"}]}, pins={"staff": "on"}
    )
    pinned = flag(definition, 0.0)
    assert exposed(pinned, email="x@example.com") == set(USERS)
    assert exposed(pinned, email="x@example.org") == set()
    out = msgspec.structs.replace(pinned, opted_out={"targetingKey": tuple(USERS)})
    assert exposed(out, email="x@example.com") == set()


def test_an_experiment_splits_the_exposed_by_weight_and_nobody_else():
    found = list(variants(flag(STARS, 0.5)).values())
    shares = {name: found.count(name) for name in STARS.variants}
    assert 340 <= shares["off"] <= 460
    assert shares["c"] == pytest.approx(2 * shares["a"], rel=0.4)
    assert shares["b"] == pytest.approx(shares["a"], rel=0.4)


def test_disjoint_slices_of_one_salt_are_mutually_exclusive():
    one = exposed(flag(Definition(slice=Slice("checkout", 0, 50_000))), target="production/shop/one")
    other = exposed(flag(Definition(slice=Slice("checkout", 50_000, TOTAL))), target="production/shop/two")
    assert one
    assert other
    assert one | other == set(USERS)
    assert not one & other


def test_a_shared_salt_exposes_the_same_users_and_own_salts_do_not():
    def of(name: str, salt: str) -> set[str]:
        return exposed(flag(Definition(salt=salt), 0.3), target=f"production/shop/{name}")

    assert of("one", "shared") == of("two", "shared")
    assert of("one", "") != of("two", "")


@pytest.mark.parametrize("definition", [Definition(), STARS])
def test_a_kill_drops_the_targeting_and_serves_off_to_everyone(definition):
    kill = Kill(id="k", actor="ann", reason="broken", at="2026-01-01T00:00:00+00:00")
    state = flag(definition, opted_out={"targetingKey": ("user-1",)}, kills=(kill,))
    document = flag_document(TARGET, state)
    assert "targeting" not in document
    assert document["state"] == "ENABLED", "DISABLED would give the application's own default"
    assert document["defaultVariant"] == definition.off
    assert exposed(state) == set()


def test_an_archived_flag_serves_its_last_variant_without_targeting_and_a_kill_stands_above_it():
    state = flag(exposure=0.0, archived="on")
    assert exposed(state) == set(USERS)
    assert "targeting" not in flag_document(TARGET, state)
    killed = msgspec.structs.replace(state, kills=(Kill("k", "ann", "r", "2026-01-01T00:00:00+00:00"),))
    assert exposed(killed) == set()


def test_everyone_or_no_one_needs_no_targeting():
    assert "targeting" not in flag_document(TARGET, flag(exposure=1.0))
    assert "targeting" not in flag_document(TARGET, flag(exposure=0.0))


def test_the_flag_names_its_set_and_version():
    assert flag_document(TARGET, flag())["metadata"] == {"flagSetId": "production/shop", "version": 1}
