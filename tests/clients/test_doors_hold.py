"""Every HTTP door under hostile inputs: a bounded slice here, all of them by `python -m tests.bench.doors`."""

import os

import pytest

from tests.bench.doors.attack import besiege
from tests.bench.doors.hostile import DOORS

COUNT = int(os.environ.get("PENSTOCK_HOSTILE", "40"))
SEED = int(os.environ.get("PENSTOCK_HOSTILE_SEED", "1"))


@pytest.mark.parametrize("door", sorted(DOORS))
@pytest.mark.timeout(1800)
async def test_no_input_kills_a_door_or_goes_without_an_understandable_answer(door: str) -> None:
    outcome = await besiege(door, COUNT, SEED, slow=2)
    assert outcome.findings == [], f"seed {SEED}"
    answers, wrong = outcome.neighbour[:2]
    assert answers > 0
    assert wrong == 0, "a well-behaved client beside was not answered"
    assert outcome.peak < 512 << 20
