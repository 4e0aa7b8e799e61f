"""The published harness: seeded, bounded by exact intervals, and failing when a bound is missed."""

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from penstock.cli.plans.gates import app
from tests.bench.judge import bounds, harness, peers
from tests.bench.judge.draw import whole
from tests.bench.judge.harness import Row, simulate
from tests.bench.judge.scenarios import SCENARIOS
from tests.bench.judge.tails import EDGES, STEP, Shape, Slow, limit, masses
from tests.bench.judge.world import Expect, Scenario

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


@pytest.mark.parametrize(("k", "n"), [(0, 100), (3, 1000), (17, 40), (40, 40)])
def test_bounds_are_those_of_clopper_and_pearson(k: int, n: int) -> None:
    exact = stats.binomtest(k, n).proportion_ci(0.90, method="exact")
    assert bounds.upper(k, n) == pytest.approx(exact.high, abs=1e-6)
    assert bounds.lower(k, n) == pytest.approx(exact.low, abs=1e-6)


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    one, same, other = (whole(BY_NAME["errors x2"], seed, 3)[1] for seed in (1, 1, 2))
    assert (one.canary.buckets == same.canary.buckets).all()
    assert (one.canary.requests != other.canary.requests).any()


def test_a_drawn_world_is_the_one_described() -> None:
    _, run = whole(BY_NAME["errors +1 pp"], 1, 0)
    rates = [float(c.errors.sum() / c.requests.sum()) for c in (run.canary, run.baseline)]
    assert rates[0] == pytest.approx(0.015, rel=0.1)
    assert rates[1] == pytest.approx(0.005, rel=0.1)
    assert float(run.canary.requests.sum() / run.baseline.requests.sum()) == pytest.approx(0.05 / 0.95, rel=0.02)


def test_a_crash_is_found_by_everyone_and_by_us_first() -> None:
    rows = {row.method: row for row in next(simulate(["crash (80 % errors)"], 4, 1, with_peers=True))}
    assert all(row.rolled_back == 1.0 for row in rows.values())
    ours = rows[harness.OURS]
    assert ours.median is not None
    assert ours.median <= min(row.median or 999 for row in rows.values())


def test_thresholds_at_every_look_roll_back_what_has_not_changed() -> None:
    for number in range(5):
        past, run = whole(BY_NAME["diurnal"], 1, number)
        assert peers.thresholds(BY_NAME["diurnal"], run, peers.usual(past)).failed_at is not None


@pytest.mark.parametrize("name", ["errors x2", "shared outage", "cold canary, warm-up", "canary 50 %"])
def test_worlds_that_are_alike_before_a_rollout_share_its_past_and_no_more(name: str) -> None:
    plain, other = (whole(BY_NAME[each], 4, 2) for each in ("independent", name))
    for one, two in ((plain[0].a, other[0].a), (plain[0].b, other[0].b)):
        assert (one.buckets == two.buckets).all()
        assert (one.errors == two.errors).all()
    assert plain[0].state == other[0].state
    assert whole(BY_NAME["heavy tail"], 4, 2)[0].state != plain[0].state
    assert (
        plain[1].canary.requests.shape != other[1].canary.requests.shape
        or (plain[1].canary.errors != other[1].canary.errors).any()
    )


def test_a_row_is_the_same_in_any_number_of_processes_and_after_any_other_row() -> None:
    names = ["errors +1 pp", "errors x2"]
    alone = [list(simulate([name], 5, 3, with_peers=True)) for name in names]
    harness._pasts.clear()
    assert list(simulate(names, 5, 3, with_peers=True, jobs=2)) == [rows for each in alone for rows in each]


def test_mann_whitney_agrees_with_scipy_at_the_last_look() -> None:
    rng = np.random.default_rng(1)
    canary, baseline = rng.normal(0.3, 1, (1, 40)), rng.normal(0, 1, (1, 40))
    ours = float(peers._z(canary, baseline)[0, -1])
    found = stats.mannwhitneyu(canary[0], baseline[0], method="asymptotic", use_continuity=False, alternative="greater")
    assert stats.norm.sf(ours) == pytest.approx(float(found.pvalue), rel=1e-6)


def row(scenario: Scenario, **more: object) -> Row:
    kept = {"runs": 1000, "failed": 0, "early": 0, "passed": 900, "median": None, "p95": None, "upper": 0.01, **more}
    return Row(scenario, harness.OURS, **kept)  # type: ignore[arg-type]


def test_each_kind_of_bound_can_be_missed() -> None:
    assert row(BY_NAME["independent"], failed=10).misses() == []
    assert row(BY_NAME["independent"], failed=11).misses()
    assert row(BY_NAME["errors x2"], failed=1000, median=8.0).misses() == []
    assert row(BY_NAME["errors x2"], failed=1000, median=9.0).misses()
    assert row(BY_NAME["errors x2"], failed=900, median=8.0).misses()
    beyond = next(scenario for scenario in SCENARIOS if scenario.expect is Expect.BEYOND)
    assert row(beyond, passed=100).misses()
    assert row(beyond, passed=10).misses() == []


def test_check_exits_1_when_a_bound_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["simulate", "--runs", "2", "--no-peers", "--check", "--scenario", "crash (80 % errors)"]
    assert CliRunner().invoke(app, asked).exit_code == 0
    monkeypatch.setattr(Row, "misses", lambda self: ["a bound"])
    assert CliRunner().invoke(app, asked).exit_code == 1


def test_an_unknown_scenario_is_an_error() -> None:
    assert CliRunner().invoke(app, ["simulate", "--scenario", "nonsense"]).exit_code == 2


@pytest.mark.parametrize(
    ("name", "windows"),
    [("p99 +10 %", 33), ("p99 +25 %", 4), ("p99 +25 %, heavy tail", 14), ("p99 +25 %, rare misses", 7)],
)
def test_tails_have_the_limits_that_are_published(name: str, windows: int) -> None:
    limit = BY_NAME[name].limit
    assert limit is not None
    assert round(limit) == windows
    assert all(scenario.limit is None for scenario in SCENARIOS if scenario.expect is Expect.NO_CHANGE)


def test_a_limit_is_the_divergence_of_the_tail_beyond_the_tolerated_shift() -> None:
    # Of a pure power law every count beyond the edge grows by the same ratio: the divergence has a closed form.
    slow = Slow(Shape.PARETO, share=1.0 - 1e-12, at=20.0, spread=2.0)
    edge = float(np.abs(np.exp(-2.0 * (EDGES - np.log(20.0))) - 0.01).argmin())
    share = float(np.exp(-2.0 * (EDGES[int(edge)] - np.log(20.0))))
    ratio = float((1.25 / np.exp(STEP)) ** 2)
    exact = 4.6 / (600 * share * (ratio * np.log(ratio) - ratio + 1.0))
    assert limit(slow, 1.25, 600) == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize(
    ("slow", "law"),
    [
        (Slow(Shape.LOGNORMAL, 0.1, 150.0, 0.5), stats.lognorm(0.5, scale=150.0)),
        (Slow(Shape.GAMMA, 0.1, 150.0, 2), stats.gamma(2, scale=75.0)),
        (Slow(Shape.PARETO, 0.1, 110.0, 2.5), stats.pareto(2.5, scale=110.0)),
    ],
)
def test_slow_requests_have_the_law_they_are_named_after(slow: Slow, law: stats.rv_continuous) -> None:
    late = masses(slow, 1.25, 1.0)[1]
    exact = np.diff(law.cdf(np.exp(EDGES) / 1.25))
    assert late[1:-1] == pytest.approx(exact[1:-1], abs=1e-9)
    assert float(late.sum()) == pytest.approx(1.0)
