"""The helper for applications: the attributes that ingestion reads, and halves that are halves."""

from penstock.cohorts import cohort_attributes, half_of
from services.metric_ingestion.selection.match import half


def test_the_baseline_is_halved_and_the_canary_is_not() -> None:
    on, off = (cohort_attributes("banner", variant, "user-1") for variant in ("on", "off"))
    assert on == {"feature_flag.key": "banner", "feature_flag.result.variant": "on"}
    assert half(off, {}) == half_of("user-1")


def test_halves_are_about_equal_and_always_the_same() -> None:
    halves = [half_of(f"user-{number}") for number in range(2000)]
    assert 900 < halves.count("a") < 1100
    assert halves == [half_of(f"user-{number}") for number in range(2000)]
