"""The plan reference is held against the model: every key, its default, and examples that load."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from penstock.plan import load_plan
from tests.support.docs.plan_reference import NAMES, default_of, keys_of, parts

TEXT = (Path(__file__).parents[3] / "docs" / "plans.md").read_text()


def rows_of(heading: str) -> dict[str, tuple[str, str]]:
    section = re.split(rf"^## {re.escape(heading)}$", TEXT, flags=re.MULTILINE)[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.+) \|$", section, re.MULTILINE)
    return {key: (default, meaning) for key, default, meaning in rows}


def test_every_part_of_a_plan_has_its_heading_and_there_is_none_besides() -> None:
    assert set(parts()) == set(NAMES)
    assert re.findall(r"^## (.+)$", TEXT, re.MULTILINE) == [NAMES[part] for part in parts()]


@pytest.mark.parametrize("part", parts(), ids=lambda part: part.__name__)
def test_every_key_stands_there_with_its_default_and_a_meaning(part: type[BaseModel]) -> None:
    rows = rows_of(NAMES[part])
    fields = keys_of(part)
    assert list(rows) == list(fields)
    assert {key: default for key, (default, _) in rows.items()} == {key: default_of(part, fields[key]) for key in rows}
    assert all(len(meaning) > 3 for _, meaning in rows.values())


def test_the_examples_load() -> None:
    examples = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert examples
    for example in examples:
        load_plan(example)
