"""Every folder of tests is a part that `penstock test` runs."""

from pathlib import Path

from penstock.cli.stack.test import ALONE, BESIDE, PARTS
from tests.support.parts import part_of

TESTS = Path(__file__).parents[2]
NO_PARTS = {"bench", "support"}


def test_no_test_stands_outside_the_parts() -> None:
    folders = {path.relative_to(TESTS).parts[0] for path in TESTS.rglob("test_*.py")}
    assert folders - NO_PARTS <= set(PARTS)


def test_what_runs_beside_the_others_and_what_runs_alone_is_there() -> None:
    for folder in (BESIDE, ALONE):
        assert list((TESTS.parent / folder).glob("test_*.py")), folder


def test_the_part_of_a_test_is_its_folder() -> None:
    assert part_of("tests/kafka/test_local_stack.py::test_x[1]") == "kafka"
    assert part_of(f"{BESIDE}/test_x.py::test_y") == "kafka"
    assert part_of("elsewhere/test_x.py::test_y") == "other"
