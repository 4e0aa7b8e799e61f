"""`penstock bench gates` measures the production judge; its size goal is checked here, its speed where it is read."""

from tests.bench.gates.command import MOST_STATE, GatesBench, run


def test_a_rollout_of_four_gates_stays_within_its_size() -> None:
    found = run(rounds=1)
    assert found.windows == 120
    assert 0 < found.history_bytes < found.state_bytes <= MOST_STATE


def test_the_line_tells_both_goals_and_whether_they_are_met() -> None:
    slow, large, good = (
        GatesBench(1, 0.5, 1, 0.1, 9, 9),
        GatesBench(1, 0.1, 1, 0.1, 1 << 20, 9),
        GatesBench(1, 0.1, 1, 0.1, 9, 9),
    )
    assert [each.within for each in (slow, large, good)] == [False, False, True]
    assert "goal 0.3" in good.line()
    assert "goal 64" in good.line()
