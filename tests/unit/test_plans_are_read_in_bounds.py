"""Reading a plan is bounded by its text: depth, tokens and the list of problems, so that no text occupies a service."""

import pytest

from penstock.errors import PlanError
from penstock.plan import load_plan
from penstock.plan.load import MOST_CHARACTERS, MOST_PROBLEMS

N = MOST_CHARACTERS
NAMES = ",".join(f"g{i}: 1" for i in range(2000))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * N, "nested deeper"),
        ("{" * N, "nested deeper"),
        ("- " * (N // 2), "nested deeper"),
        ("a: [" + "1," * (N // 2 - 5) + "]", "words and marks"),
        ("a: " + "9" * (N - 10), "cannot be read"),
        ("version: 2001-13-45", "cannot be read"),
        ("!!set {a}", "a plan is a mapping"),
        ("a: &x [1]\nb: *x", "no aliases"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_a_text_that_costs_too_much_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(PlanError, match=reason):
        load_plan(text)


def test_the_list_of_problems_is_bounded() -> None:
    stages = "\n".join(f"  - {{name: a{i}, gates: [{'zz,' * 1000}]}}" for i in range(3))
    with pytest.raises(PlanError) as raised:
        load_plan(f"version: 1\ngates: {{{NAMES}}}\nstages:\n{stages}\n")
    assert len(raised.value.problems) == MOST_PROBLEMS + 1
    assert "more problems" in raised.value.problems[-1].what
    assert len(str(raised.value)) < 200_000
