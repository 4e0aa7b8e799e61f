"""docs/judge.md names code that exists, and states the constants that the code has."""

import re
from pathlib import Path

import pytest

from services.gate_evaluation.judge.evidence import mixtures
from services.gate_evaluation.judge.versions import CURRENT

ROOT = Path(__file__).parents[3]
JUDGE = ROOT / "services" / "gate_evaluation" / "judge"
TEXT = (ROOT / "docs" / "judge.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([a-z_/]+\.py): (\w+)`", TEXT)))


def test_the_document_names_code() -> None:
    assert len(NAMED) > 20


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_every_function_named_in_the_document_exists(file: str, name: str) -> None:
    code = (JUDGE / file).read_text(encoding="utf-8")
    assert re.search(rf"^\s*(?:def|class) {name}\b", code, re.MULTILINE), f"{file} has no {name}"


def test_the_document_is_of_the_current_version_and_its_constants() -> None:
    assert f"(version {CURRENT.version})" in TEXT
    assert f"wary, cut | {CURRENT.wary:g}, {CURRENT.cut:g}" in TEXT
    assert CURRENT.gross_share == 0.05
    assert (mixtures.ONSET_FIRST, mixtures.GROSS_MULTIPLE, mixtures.GROSS_FLOOR) == (0.87, 3.0, 0.05)
    assert mixtures.TAIL_FAMILIES == ((0.87, (0.65, 0.85, 1.1, 1.35)), (0.13, (0.1, 0.4, 1.0, 2.0)))
    assert mixtures.GROSS_EFFECTS == (0.25, 0.5, 1.0, 2.0, 3.0)
    assert (mixtures.POINTS, mixtures.BELL, mixtures.TAIL_BELL) == (8, 0.42, 0.5)
