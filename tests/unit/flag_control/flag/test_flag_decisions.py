"""The decider of flag control: history in, facts out."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from penstock.chain import Document
from penstock.events import (
    ArchiveRequested,
    EditRefused,
    Event,
    ExposureChanged,
    FlagArchived,
    FlagEdited,
    FlagKilled,
    FlagStale,
    FlagSubmitted,
    KillLifted,
    KillRequested,
    OptOutRequested,
    RollbackStarted,
    RolloutAnnounced,
    RolloutCompleted,
    RolloutSuperseded,
    StageEntered,
    TimerFired,
    UndoRequested,
    from_json,
    to_json,
)
from services.flag_control.decide import decide
from services.flag_control.flag.exposure import flag_document
from services.flag_control.flag.lifecycle import stale_at
from services.flag_control.flag.state import load
from tests.support.builders import an

TARGET = "production/checkout/new-payment-form"
ANNOUNCED = an(RolloutAnnounced)
HALF = an(StageEntered, id="half", exposure=0.5, audience={})
BACK = an(RollbackStarted, id="back")
ANNOUNCED_OWNER = load(decide(TARGET, {}, ANNOUNCED).document).definition.lifecycle.owner
DONE = an(RolloutCompleted, id="done")
KILL = an(KillRequested, id="kill-1")


class Flag:
    """One flag and every event about it."""

    def __init__(self, *events: Event) -> None:
        self.document: Document = {}
        self.reported: list[Event] = []
        self.apply(*events)

    def apply(self, *events: Event) -> "list[Event]":
        reported: list[Event] = []
        for event in events:
            decision = decide(TARGET, self.document, event)
            self.document = decision.document
            reported.extend(decision.events)
        self.reported.extend(reported)
        return reported

    @property
    def state(self):
        return load(self.document)

    @property
    def served(self) -> Document:
        return flag_document(TARGET, self.state)


def test_an_announced_rollout_makes_a_flag_that_exposes_nobody():
    flag = Flag(ANNOUNCED)
    (reported,) = flag.reported
    assert isinstance(reported, ExposureChanged)
    assert (reported.exposure, reported.previous, reported.version) == (0.0, 0.0, 1)
    assert flag.served["defaultVariant"] == "off"
    assert flag.state.definition.lifecycle.owner


def test_events_about_a_version_name_the_release_whose_rollout_last_had_the_flag():
    flag = Flag(ANNOUNCED, HALF, KILL, BACK)
    assert {event.release for event in flag.reported} == {ANNOUNCED.release.version}
    newer = ANNOUNCED.model_copy(
        update={"id": "newer", "rollout": "ro-2", "release": ANNOUNCED.release.model_copy(update={"version": "9.9"})}
    )
    flag.apply(newer)
    (edited,) = flag.apply(an(OptOutRequested, id="opt", attribute="targetingKey", values=("user-1",)))
    assert edited.release == "9.9"


def test_each_decision_of_the_rollout_is_one_change_of_exposure_with_a_rising_version():
    flag = Flag(ANNOUNCED, HALF, BACK)
    _, half, back = flag.reported
    assert isinstance(half, ExposureChanged)
    assert isinstance(back, ExposureChanged)
    assert (half.entry, half.exposure, half.previous, half.version) == ("half", 0.5, 0.0, 2)
    assert (back.entry, back.exposure, back.previous, back.version) == ("back", 0.0, 0.5, 3)
    assert "targeting" not in flag.served


def test_a_decision_that_changes_nothing_served_is_reported_at_the_present_version():
    flag = Flag(ANNOUNCED, BACK)
    assert [event.version for event in flag.reported if isinstance(event, ExposureChanged)] == [1, 1]


def test_a_completed_rollout_is_for_everyone_without_targeting():
    flag = Flag(ANNOUNCED, HALF, DONE)
    assert flag.served["defaultVariant"] == "on"
    assert "targeting" not in flag.served


def test_a_newer_release_keeps_the_exposure_until_its_first_stage_and_a_superseded_one_loses_it():
    flag = Flag(ANNOUNCED, HALF, DONE)
    flag.apply(an(RolloutAnnounced, id="next", rollout="ro-2"))
    assert flag.served["defaultVariant"] == "on"
    flag.apply(an(StageEntered, id="next-stage", rollout="ro-2", exposure=0.05, audience={}))
    assert flag.state.reach.exposure == 0.05
    flag.apply(an(RolloutSuperseded, id="superseded"))
    assert flag.served["defaultVariant"] == "off"


def test_the_same_decision_again_gives_the_same_ids():
    one, other = Flag(ANNOUNCED, HALF, KILL), Flag(ANNOUNCED, HALF, KILL)
    assert [event.id for event in one.reported] == [event.id for event in other.reported]
    assert len({event.id for event in one.reported}) == 3


def test_a_kill_stands_above_every_later_stage_until_it_is_lifted_by_name():
    flag = Flag(ANNOUNCED, HALF)
    (killed,) = flag.apply(KILL)
    assert isinstance(killed, FlagKilled)
    assert (killed.kill, killed.exposure) == ("kill-1", 0.5)
    (raised,) = flag.apply(an(StageEntered, id="wider", exposure=0.9, audience={}))
    assert isinstance(raised, ExposureChanged)
    assert raised.exposure == 0.0, "reported as it is served"
    assert flag.served["defaultVariant"] == "off"
    (refused,) = flag.apply(an(UndoRequested, id="undo-x", kill="another"))
    assert isinstance(refused, EditRefused)
    (lifted,) = flag.apply(an(UndoRequested, id="undo-1", kill="kill-1"))
    assert isinstance(lifted, KillLifted)
    assert lifted.exposure == 0.9, "what the present rollout says, not what was killed"


def test_lifting_a_kill_after_the_rollback_exposes_nobody():
    flag = Flag(ANNOUNCED, HALF, KILL, BACK)
    (lifted,) = flag.apply(an(UndoRequested, id="undo-1", kill="kill-1"))
    assert isinstance(lifted, KillLifted)
    assert lifted.exposure == 0.0


def test_two_kills_need_both_names():
    flag = Flag(ANNOUNCED, HALF, KILL, an(KillRequested, id="kill-2"))
    flag.apply(an(UndoRequested, id="u1", kill="kill-1"))
    assert flag.served["defaultVariant"] == "off"
    assert [kill.id for kill in flag.state.kills] == ["kill-2"]


def test_a_request_received_twice_is_granted_once():
    flag = Flag(ANNOUNCED, HALF, KILL)
    before = flag.document
    assert flag.apply(KILL) == []
    assert flag.document == before


def edits(flag: Flag, count: int, start: int = 0) -> None:
    """Have that many opt-outs granted or refused."""
    for number in range(start, start + count):
        flag.apply(an(OptOutRequested, id=f"edit-{number}", attribute="targetingKey", values=(f"user-{number % 3}",)))


def test_a_kill_replayed_after_a_hundred_requests_is_not_in_force_again():
    flag = Flag(ANNOUNCED, HALF, KILL, an(UndoRequested, id="lift", kill=KILL.id, version=None))
    edits(flag, 150)
    assert KILL.id not in flag.state.requests
    assert flag.apply(KILL) == []
    assert flag.state.kills == ()


def test_a_kill_in_force_is_not_granted_twice_by_a_replay_after_a_hundred_requests():
    flag = Flag(ANNOUNCED, HALF, KILL)
    edits(flag, 150)
    assert flag.apply(KILL) == []
    assert [kill.id for kill in flag.state.kills] == [KILL.id]


def test_a_kill_refused_before_its_flag_existed_is_not_in_force_when_it_is_replayed():
    flag = Flag(KILL, ANNOUNCED, HALF)
    edits(flag, 150)
    assert flag.apply(KILL) == []
    assert flag.state.kills == ()


def test_a_flag_remembers_a_thousand_lifted_kills_and_forgets_the_oldest_first():
    flag = Flag(ANNOUNCED)
    state = flag.state
    for number in range(1001):
        state = state.with_closed_kill(f"kill-{number}", f"2026-11-28T{number // 60:02}:{number % 60:02}:00+00:00")
    assert len(state.closed_kills) == 1000
    assert {f"kill-{number}" for number in range(1, 1001)} <= state.decided_requests
    assert "kill-0" not in state.decided_requests


NO_STAGE = an(RollbackStarted, id="no-stage").model_copy(update={"stage": None})


def test_a_rollback_before_the_first_stage_exposes_nobody_and_a_later_stage_of_another_rollout_counts():
    read = from_json({name: value for name, value in to_json(NO_STAGE).items() if name != "stage"})
    assert isinstance(read, RollbackStarted)
    assert read.stage is None
    for back in (NO_STAGE, read):
        flag = Flag(ANNOUNCED)
        (reported,) = flag.apply(back)
        assert isinstance(reported, ExposureChanged)
        assert (reported.exposure, reported.previous) == (0.0, 0.0)
        assert flag.state.rolled_back
        assert flag.served["defaultVariant"] == "off"
        assert "targeting" not in flag.served
        flag.apply(
            an(RolloutAnnounced, id="next", rollout="ro-2"),
            an(StageEntered, id="next-5", rollout="ro-2", exposure=0.05),
        )
        assert flag.state.reach.exposure == 0.05


def test_a_rollback_without_a_stage_under_a_kill_leaves_the_flag_off_when_the_kill_is_lifted():
    flag = Flag(ANNOUNCED, KILL, NO_STAGE)
    flag.apply(an(UndoRequested, id="lift", kill=KILL.id, version=None))
    assert flag.state.kills == ()
    assert flag.served["defaultVariant"] == "off"
    assert "targeting" not in flag.served


def test_a_rollback_without_a_stage_rolls_back_as_one_with_a_stage_does():
    served = []
    for back in (an(RollbackStarted, id="back-2", rollout="ro-2"), NO_STAGE.model_copy(update={"rollout": "ro-2"})):
        flag = Flag(ANNOUNCED, HALF, DONE, an(RolloutAnnounced, id="next", rollout="ro-2"))
        flag.apply(back)
        served.append((flag.served["defaultVariant"], flag.state.rolled_back, flag.state.live))
    assert served[0] == served[1]


def test_a_kill_of_no_flag_is_refused():
    (refused,) = Flag().apply(KILL)
    assert isinstance(refused, EditRefused)
    assert refused.reason == "unknown"


def test_opting_out_is_an_edit_with_its_difference_and_can_be_undone():
    flag = Flag(ANNOUNCED, HALF)
    (edited,) = flag.apply(an(OptOutRequested, id="o1", attribute="targetingKey", values=["u1"]))
    assert isinstance(edited, FlagEdited)
    assert edited.diff
    assert flag.state.opted_out == {"targetingKey": ("u1",)}
    flag.apply(an(OptOutRequested, id="o2", attribute="targetingKey", values=["u1"], remove=True))
    assert flag.state.opted_out == {}


def test_undo_goes_back_to_a_version_but_not_to_its_exposure():
    flag = Flag(ANNOUNCED, HALF, an(OptOutRequested, id="o1", values=["acme"]), BACK)
    flag.apply(an(UndoRequested, id="u1", kill=None, version=2))
    assert flag.state.opted_out == {}
    assert flag.served["defaultVariant"] == "off"
    assert flag.reported[-1].type == "flag.edited"
    (last,) = flag.reported[-1:]
    assert isinstance(last, FlagEdited)
    assert (last.version, last.diff[0].path) == (5, "opted_out.account"), "a change, though nobody sees it yet"


def test_every_change_has_its_version_also_where_nobody_is_served_anything_else():
    flag = Flag(ANNOUNCED)
    asked = [
        an(FlagSubmitted, id="d1", definition={"lifecycle": {"owner": "team-x"}}),
        an(OptOutRequested, id="o1", values=("u1",)),
        KILL,
        an(UndoRequested, id="u1", kill=KILL.id),
        an(UndoRequested, id="u2", kill=None, version=1),
    ]
    reported = [*flag.reported, *(fact for request in asked for fact in flag.apply(request))]
    assert [fact.version for fact in reported] == [1, 2, 3, 4, 5, 6]
    assert set(flag.state.history) == {"1", "2", "3", "4", "5", "6"}
    owner = next(change for change in reported[1].diff if change.path == "definition.lifecycle.owner")
    assert (owner.before, owner.after) == (ANNOUNCED_OWNER, "team-x")
    again = flag.apply(an(FlagSubmitted, id="d9", definition=msgspec.to_builtins(flag.state.definition)))
    assert [fact.version for fact in again] == [6], "the same again is no change"


def test_a_value_that_only_python_takes_for_the_same_is_another_version_and_not_changed_under_a_rollout():
    ones = {"variants": {"on": [1], "off": [0]}}
    flag = Flag(an(FlagSubmitted, id="d1", definition=ones))
    (edited,) = flag.apply(an(FlagSubmitted, id="d2", definition={"variants": {"on": [True], "off": [False]}}))
    assert isinstance(edited, FlagEdited)
    assert edited.version == 2
    assert [change.path for change in edited.diff] == ["variants.off", "variants.on"]
    flag.apply(an(RolloutAnnounced, id="a1"))
    (refused,) = flag.apply(an(FlagSubmitted, id="d3", definition=ones))
    assert isinstance(refused, EditRefused)
    assert refused.reason == "not_allowed"


def test_a_release_that_brings_another_ticket_is_a_change_and_reported():
    flag = Flag(ANNOUNCED, HALF, DONE)
    release = ANNOUNCED.release.model_copy(update={"version": "2.0", "ticket": "PAY-99"})
    (reported,) = flag.apply(ANNOUNCED.model_copy(update={"id": "next", "rollout": "ro-2", "release": release}))
    assert isinstance(reported, ExposureChanged)
    assert (reported.version, reported.previous, reported.exposure) == (4, 1.0, 1.0)
    assert reported.definition is not None
    assert reported.definition.lifecycle.ticket == "PAY-99"
    assert flag.apply(ANNOUNCED.model_copy(update={"id": "same", "rollout": "ro-3", "release": release})) == []


@pytest.mark.parametrize("wrong", [{"kill": None}, {"kill": "k", "version": 1}, {"kill": None, "version": 99}])
def test_an_undo_that_names_nothing_both_or_a_forgotten_version_is_refused(wrong):
    (refused,) = Flag(ANNOUNCED).apply(an(UndoRequested, id="u1", **wrong))
    assert isinstance(refused, EditRefused)


def test_a_definition_makes_a_flag_of_several_variants_and_a_bad_one_lists_every_problem():
    flag = Flag()
    (defined,) = flag.apply(an(FlagSubmitted, id="d1"))
    assert isinstance(defined, FlagEdited)
    assert set(flag.served["variants"]) == {"off", "a", "b"}
    bad = {"variants": {"off": 1, "a": "x"}, "split": {"a": -1, "z": 2}, "lifecycle": {"type": "whim"}}
    (refused,) = flag.apply(an(FlagSubmitted, id="d2", definition=bad))
    assert isinstance(refused, EditRefused)
    assert all(part in refused.detail for part in ("split.z", "whole numbers", "whim"))
    mixed = {"variants": {"off": 1, "a": "x"}, "on": "a"}
    (refused,) = flag.apply(an(FlagSubmitted, id="d3", definition=mixed))
    assert "share one type" in refused.detail  # type: ignore[attr-defined]


def test_the_variants_that_gates_compare_do_not_change_under_a_rollout_but_its_notes_do():
    flag = Flag(ANNOUNCED, HALF)
    (refused,) = flag.apply(an(FlagSubmitted, id="d1", definition={"variants": {"on": False, "off": True}}))
    assert isinstance(refused, EditRefused)
    assert refused.reason == "not_allowed"
    noted = {"lifecycle": {"owner": "team-x", "ticket": "PAY-1"}}
    (edited,) = flag.apply(an(FlagSubmitted, id="d2", definition=noted))
    assert isinstance(edited, FlagEdited)
    assert flag.state.definition.lifecycle.ticket == "PAY-1"


def test_an_archived_flag_keeps_its_variant_and_accepts_nothing_but_a_kill():
    flag = Flag(ANNOUNCED, HALF, DONE)
    (archived,) = flag.apply(an(ArchiveRequested, id="a1", variant="on"))
    assert isinstance(archived, FlagArchived)
    (refused,) = flag.apply(an(FlagSubmitted, id="d1"))
    assert "not used again" in refused.detail  # type: ignore[attr-defined]
    before = flag.state.version
    (refused,) = flag.apply(an(RolloutAnnounced, id="again", rollout="ro-9"))
    assert isinstance(refused, EditRefused)
    assert "another key" in refused.detail
    flag.apply(an(StageEntered, id="s9", exposure=0.1, audience={}))
    assert flag.state.version == before
    assert flag.served["defaultVariant"] == "on"
    flag.apply(KILL)
    assert flag.served["defaultVariant"] == "off"
    flag.apply(an(UndoRequested, id="u1", kill="kill-1"))
    assert flag.served["defaultVariant"] == "on"


def test_a_live_flag_is_not_archived():
    (refused,) = Flag(ANNOUNCED, HALF).apply(an(ArchiveRequested, id="a1", variant="on"))
    assert isinstance(refused, EditRefused)


def timer(flag: Flag) -> TimerFired:
    due = datetime.fromisoformat(flag.state.timers["stale"])
    return TimerFired(id="t", source="/x", target=TARGET, time=due, timer="stale", due=due)


def test_a_flag_that_everyone_gets_for_two_weeks_is_reported_stale_weekly():
    flag = Flag(ANNOUNCED, HALF, DONE)
    first = timer(flag)
    assert first.due == DONE.time + timedelta(days=14)
    (reported,) = flag.apply(first)
    assert isinstance(reported, FlagStale)
    assert reported.rule == "settled"
    assert timer(flag).due == first.due + timedelta(days=7)
    assert len(flag.apply(timer(flag))) == 1


def test_a_flag_past_its_expiry_is_stale_by_that_rule_even_under_a_rollout():
    flag = Flag(ANNOUNCED, HALF)
    assert timer(flag).due.date() == (ANNOUNCED.time + timedelta(days=40)).date()
    (reported,) = flag.apply(timer(flag))
    assert isinstance(reported, FlagStale)
    assert reported.rule == "expired"
    assert reported.owner == flag.state.definition.lifecycle.owner


def test_a_flag_is_not_stale_before_its_time():
    flag = Flag(ANNOUNCED, HALF, DONE)
    due = datetime.fromisoformat(flag.state.timers["stale"])
    assert stale_at(flag.state, due - timedelta(seconds=1)) is None
    assert stale_at(flag.state, due) == (due, "settled")


def test_a_permanent_or_archived_flag_is_never_stale():
    permanent = Flag(ANNOUNCED)
    permanent.apply(an(FlagSubmitted, id="d", definition={"lifecycle": {"permanent": True}}))
    assert "stale" not in permanent.state.timers
    archived = Flag(ANNOUNCED, HALF, DONE, an(ArchiveRequested, id="a", variant="on"))
    assert "stale" not in archived.state.timers


def test_a_timer_that_was_armed_again_reports_nothing():
    flag = Flag(ANNOUNCED, HALF)
    old = TimerFired(
        id="t",
        source="/x",
        target=TARGET,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        timer="stale",
        due=datetime(2026, 1, 1, tzinfo=UTC),
    )
    before = flag.document
    assert flag.apply(old) == []
    assert flag.document == before


def ramped(flag: Flag, times: int, name: str) -> None:
    for number in range(times):
        flag.apply(an(StageEntered, id=f"{name}{number}", exposure=(number % 90 + 1) / 100, audience={}))


def test_history_keeps_fifty_versions_and_of_older_ones_those_that_defined_the_flag():
    flag = Flag(ANNOUNCED)
    ramped(flag, 60, "a")
    opted = an(OptOutRequested, target=TARGET)
    (edited,) = flag.apply(opted)
    ramped(flag, 120, "b")
    versions = sorted(map(int, flag.state.history))
    assert versions[:2] == [1, edited.version]
    assert len(versions) == 52
    assert versions[-1] == flag.state.version


def test_undo_goes_back_to_any_version_also_one_that_only_changed_the_exposure_long_ago():
    flag = Flag(ANNOUNCED)
    ramped(flag, 30, "a")
    flag.apply(an(OptOutRequested, target=TARGET))
    ramped(flag, 120, "b")
    flag.apply(BACK)
    assert flag.state.opted_out
    (back,) = flag.apply(an(UndoRequested, id="undo-20", target=TARGET, kill=None, version=20))
    assert isinstance(back, FlagEdited)
    assert not flag.state.opted_out
    (again,) = flag.apply(an(UndoRequested, id="undo-60", target=TARGET, kill=None, version=60))
    assert isinstance(again, FlagEdited)
    assert flag.state.opted_out
    (refused,) = flag.apply(an(UndoRequested, id="undo-999", target=TARGET, kill=None, version=999))
    assert isinstance(refused, EditRefused)
    assert "there are 1 to" in refused.detail


def test_a_flag_that_is_edited_without_end_forgets_its_oldest_versions():
    flag = Flag(ANNOUNCED, HALF)
    for number in range(400):
        flag.apply(an(OptOutRequested, id=f"o{number}", target=TARGET, values=(f"user-{number}",)))
    assert len(flag.state.history) == 250


def defined(kind: str, expires: str, **more: object) -> FlagSubmitted:
    lifecycle = {"type": kind, "expires": expires, "owner": "team-a"}
    definition = {"variants": {"on": "new", "off": "old"}, "lifecycle": lifecycle, **more}
    return an(FlagSubmitted, id=f"defined-{kind}", target=TARGET, definition=definition)


def test_every_edit_reports_the_new_definition_and_an_undo_the_earlier_one():
    flag = Flag(defined("experiment", "2027-01-31"))
    (first,) = flag.reported
    assert first.definition.variants == {"on": "new", "off": "old"}
    assert (first.definition.lifecycle.kind, first.definition.lifecycle.owner) == ("experiment", "team-a")
    assert first.definition.lifecycle.expires == datetime(2027, 1, 31, tzinfo=UTC)
    (second,) = flag.apply(defined("operational", "2028-01-31", off="off", on="on", metadata={"x": 1}))
    assert second.definition.lifecycle.kind == "operational"
    (opted,) = flag.apply(an(OptOutRequested, target=TARGET))
    assert opted.definition == second.definition
    (back,) = flag.apply(an(UndoRequested, id="undo", target=TARGET, kill=None, version=1))
    assert back.definition == first.definition
    (archived,) = flag.apply(an(ArchiveRequested, id="archive", target=TARGET, variant="off"))
    assert archived.definition == first.definition


def test_a_rollout_that_takes_a_flag_over_reports_its_definition_once_and_expiry_follows_from_the_kind():
    flag = Flag(ANNOUNCED, HALF, BACK)
    made, taken, back = flag.reported
    assert made.definition.lifecycle.kind == "release"
    assert made.definition.lifecycle.expires == datetime.fromisoformat(made.definition.lifecycle.created).replace(
        tzinfo=UTC
    ) + timedelta(days=40)
    assert taken.definition == made.definition
    assert back.definition is None
