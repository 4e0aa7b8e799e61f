"""What is watched: the newest registered plan, the plan of a rollout under way, the version that is the canary."""

from datetime import UTC, datetime, timedelta

from penstock.events import (
    Event,
    Ground,
    PlanRegistered,
    Release,
    RollbackCompleted,
    RolloutAnnounced,
    RolloutCompleted,
    RolloutSuperseded,
    Why,
)
from penstock.plan import hash_of
from services.metric_ingestion.selection.watch import Watch
from tests.support.metrics.ingestion import plan_registered
from tests.support.plans import SHORT, TARGET

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
OTHER = SHORT.replace("length: 1s", "length: 5s")
ENVELOPE = {"source": "/penstock/rollout_control", "target": TARGET, "plan_hash": "", "code": "1", "sequence": 1}


def registered(text: str = SHORT, minutes: int = 0) -> PlanRegistered:
    return plan_registered(text).model_copy(update={"time": BEGAN + timedelta(minutes=minutes)})


def announced(rollout: str = "ro-1", text: str = SHORT, version: str = "2.0") -> RolloutAnnounced:
    return RolloutAnnounced.model_validate(
        {
            **ENVELOPE,
            "id": f"announced {rollout}",
            "time": BEGAN,
            "rollout": rollout,
            "plan_hash": hash_of(text),
            "ground": Ground(why=Why.DEPLOYED),
            "release": Release(service="shop", version=version),
            "plan_name": "banner",
            "plan_text": text,
            "stages": (),
        }
    )


def ended(kind: type[Event], rollout: str = "ro-1", **more: object) -> Event:
    fields = {"id": "end", "time": BEGAN, "rollout": rollout, "ground": Ground(why=Why.PERSON), **more}
    return kind.model_validate({**ENVELOPE, **fields})


def watch(*events: Event) -> Watch:
    found = Watch()
    for event in events:
        found.fold(event)
    return found


def length_and_version(found: Watch) -> tuple[float, str | None] | None:
    watched = found.of(TARGET)
    return None if watched is None else (watched.plan.windows.length, watched.version)


def test_nothing_is_watched_without_a_plan() -> None:
    assert length_and_version(watch()) is None
    assert watch().all() == ()


def test_the_newest_registered_plan_holds_in_whatever_order_it_is_read() -> None:
    assert length_and_version(watch(registered(SHORT), registered(OTHER, minutes=1))) == (5.0, None)
    assert length_and_version(watch(registered(OTHER, minutes=1), registered(SHORT))) == (5.0, None)


def test_the_same_plan_again_changes_nothing() -> None:
    found = watch(registered())
    assert not found.fold(registered(minutes=1))


def test_a_rollout_under_way_keeps_its_plan_and_names_the_canary() -> None:
    found = watch(registered(), announced(text=OTHER), registered(SHORT.replace("1s", "2s"), minutes=9))
    assert length_and_version(found) == (5.0, "2.0")


def test_a_plan_embedded_in_a_rollout_is_watched_after_it_too() -> None:
    found = watch(announced(text=OTHER), ended(RolloutCompleted))
    assert length_and_version(found) == (5.0, None)


def test_the_version_taken_back_stays_the_canary_so_that_recovery_can_be_seen() -> None:
    found = watch(registered(), announced(), ended(RollbackCompleted, recovered=True))
    assert length_and_version(found) == (1.0, "2.0")


def test_the_end_of_an_older_rollout_does_not_end_the_newer_one() -> None:
    found = watch(announced("ro-1"), announced("ro-2", OTHER, "3.0"), ended(RolloutSuperseded, "ro-1", by="ro-2"))
    assert length_and_version(found) == (5.0, "3.0")


def test_a_plan_that_does_not_load_leaves_the_former_one_and_is_told() -> None:
    found = watch(registered(), registered("version: 9", minutes=1))
    assert length_and_version(found) == (1.0, None)
    assert list(found.unloadable) == [f"{TARGET} banner"]
