"""Which sources a window tells of: alive, behind with a report, or gone; and what else the judge must know of it."""

import msgspec

from penstock.events import Cohort, Doubt, Ratio
from services.metric_ingestion.windows.sources import Source
from services.metric_ingestion.windows.target import TargetState
from tests.support.metrics.otlp import CUMULATIVE, Export, variant
from tests.support.metrics.target import PLAN, Target, totals

COUNTED_APART = PLAN.replace('bad: {http.response.status_code: "5*"}', "bad_metric: failures")
VERSIONED = PLAN.replace("windows: {length: 1s}", "cohorts: {by: service_version}\nwindows: {length: 10s}")


def pods(target: Target, second: float, *names: str, version: str | None = None) -> None:
    """Each pod reports its cumulative counts: of both variants, or of its version."""
    for name in names:
        export = target.new(second, name)
        export.resource = {**export.resource, **({"service.version": version} if version else {})}
        export.start = target.at(-100)
        for cohort in ("on", "off"):
            counts = (round(second * 10), 0, 0)
            export.histogram(counts, variant(cohort), temporality=CUMULATIVE)
        target.export(second, export)


def at(first: float, last: float, every: float = 1.0) -> list[float]:
    return [first + every * step for step in range(int((last - first) / every) + 1)]


def fleet(until: float, dies: float, steady: bool = True) -> Target:
    """Return a target of three pods that report each second; one falls silent."""
    target = Target(PLAN.replace("length: 1s", "length: 5s"))
    for second in at(0.5, until):
        alive = ("one", "two", "three") if second < dies else ("one", "two")
        if steady:
            pods(target, second, *alive)
        else:
            for name in alive:
                target.traffic(second, instance=name)
    return target


def test_a_window_tells_the_requests_of_each_cohort_and_its_sources() -> None:
    target = fleet(16, 100)
    window = target.windows[1]
    assert window.requests == {Cohort.CANARY: 150, Cohort.BASELINE: 150, **{h: window.requests[h] for h in ("a", "b")}}
    assert window.sources == {Cohort.CANARY: 3, Cohort.BASELINE: 3}
    assert window.unheard == {}


def test_a_source_that_falls_silent_is_behind_for_three_reports_and_then_gone() -> None:
    windows = fleet(31, 14).windows
    assert [(w.sources[Cohort.CANARY], w.unheard.get(Cohort.CANARY, 0)) for w in windows[1:5]] == [
        (3, 0),
        (3, 1),
        (2, 0),
        (2, 0),
    ]


def test_a_report_that_is_not_due_yet_is_not_missed() -> None:
    target = Target(PLAN.replace("length: 1s", "length: 10s"))
    for second in at(0.5, 62.5, 2):
        pods(target, second, "often")
        if second % 10 == 8.5:
            pods(target, second, "seldom")
    assert len(target.windows) >= 5
    assert all(window.unheard == {} for window in target.windows)


def test_the_silence_of_an_idle_delta_source_is_neither_lateness_nor_death() -> None:
    windows = fleet(40, 14, steady=False).windows
    assert all(window.unheard == {} for window in windows)
    target = Target(PLAN.replace("length: 1s", "length: 5s"))
    for second in at(0.5, 40):
        target.traffic(second, canary=1 if second < 14 else 0)
    assert Cohort.CANARY not in target.windows[-1].sources


def test_an_idle_canary_of_deltas_is_not_told_as_dead() -> None:
    target = Target(VERSIONED)
    target.watch(VERSIONED, "2")
    for second in at(0.5, 70):
        pods(target, second, "old", version="1")
        if second < 33:
            export = target.new(second, "new")
            export.resource = {**export.resource, "service.version": "2"}
            target.export(second, export.histogram((1, 0, 0), variant("on")))
    assert target.windows[0].sources[Cohort.CANARY] == 1
    assert Cohort.CANARY not in target.windows[-1].sources


def test_a_source_that_is_known_to_be_slow_is_waited_for_and_nothing_of_it_is_lost() -> None:
    target = Target(PLAN.replace("length: 1s", "length: 5s"))
    for second in at(0.5, 60):
        target.traffic(second, instance="prompt")
        if second > 6:
            target.export(second - 6, target.requests(second - 6, baseline=2, instance="slow"), late=6)
    windows = target.windows[2:]
    assert [totals([window], Cohort.BASELINE) for window in windows] == [[30]] * len(windows)
    assert len(windows) >= 6
    assert {window.sources[Cohort.BASELINE] for window in windows} == {2}
    assert all(window.dropped == {} for window in windows)


def test_a_source_that_is_slower_than_any_wait_leaves_the_gates_without_data() -> None:
    target = Target(PLAN.replace("length: 1s", "length: 5s"))
    for second in at(0.5, 150):
        target.traffic(second, instance="prompt")
        slow = second - 40 - 8 * (second % 2)
        if slow > 0:
            target.export(slow, target.requests(slow, instance="slow"), late=second - slow)
    windows = target.windows[-8:]
    assert all(window.dropped["late"] > 0 for window in windows)
    assert all(window.doubts["errors"] is Doubt.POINTS_DROPPED for window in windows)


def test_a_cohort_whose_every_instance_has_died_is_told_as_none_alive() -> None:
    target = Target(VERSIONED)
    target.watch(VERSIONED, "2")
    for second in at(0.5, 70):
        pods(target, second, "old-1", "old-2", version="1")
        if second < 33:
            pods(target, second, "new-1", version="2")
    told = [window.sources.get(Cohort.CANARY) for window in target.windows]
    assert told[:3] == [1, 1, 1]
    assert told[-1] == 0
    assert target.windows[-1].sources[Cohort.BASELINE] == 2


def test_instances_that_become_the_baseline_are_not_the_canarys_dead() -> None:
    target = Target(VERSIONED)
    target.watch(VERSIONED, "2")
    for second in at(0.5, 60):
        if second == 30.5:
            target.watch(VERSIONED, "3")
        pods(target, second, "old", version="1")
        if second < 40:
            pods(target, second, "new", version="2")
    assert Cohort.CANARY not in target.windows[-1].sources


def test_a_reset_is_told_of_the_gates_that_read_the_counter() -> None:
    target = Target()
    for second, value in ((0.5, 100), (1.5, 110), (2.5, 4)):
        export = Export(target.at(second), target.at(-100)).counter(
            "orders", value, variant("off"), temporality=CUMULATIVE
        )
        target.export(second, export, target.requests(second))
    target.clock(10)
    third = target.windows[2]
    assert (third.resets, third.reset_gates) == (1, {"orders": 1})
    assert all(window.reset_gates == {} for window in target.windows[:2])


def test_more_bad_events_than_events_are_a_doubt_and_no_measure() -> None:
    target = Target(COUNTED_APART)
    export = target.requests(0.5, canary=3, baseline=5).counter("failures", 9, variant("on"))
    target.export(0.5, export)
    target.traffic(1.5)
    target.clock(3)
    window = target.windows[0]
    assert window.doubts["errors"] is Doubt.MORE_BAD_THAN_ALL
    assert all("errors" not in gates for gates in window.measures.values())
    assert "p99" in window.measures[Cohort.CANARY]


def test_more_bad_events_than_events_in_a_half_leave_the_whole_measured() -> None:
    target = Target(COUNTED_APART)
    export = target.new(0.5)
    for half, requests, failures in (("a", 2, 4), ("b", 8, 1)):
        export.histogram((requests, 0, 0), variant("off", **{"penstock.half": half}))
        export.counter("failures", failures, variant("off", **{"penstock.half": half}))
    target.export(0.5, export)
    target.traffic(1.5)
    target.clock(3)
    measures = target.windows[0].measures
    assert measures[Cohort.BASELINE]["errors"] == Ratio(events=5, total=10)
    assert "errors" not in measures[Cohort.A]
    assert measures[Cohort.B]["errors"] == Ratio(events=1, total=8)


def test_a_state_of_an_ingestion_that_knew_less_of_its_sources_is_read() -> None:
    written = {"sources": {"one": [7, 5, 3, [1, 1, 1], "a"]}, "slots": {0: {"received": 1, "resets": 2}}}
    state = msgspec.msgpack.decode(msgspec.msgpack.encode(written), type=TargetState)
    assert state.sources["one"] == Source(7, 5, 3, [1, 1, 1], "a")
    assert (state.slots[0].resets, state.slots[0].reset_gates) == (2, {})
