"""README.md against the code: tables, the plan, commands and their options, links, snippets."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from penstock.cli import app
from penstock.plan import load_plan
from tests.support.docs.readme_tables import AREAS, EVENTS, INDEX, PLAN, README, ROOT, decisions, filled

TEXT = README.read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = re.findall(r"(?:^|[\s(`])(?:\./)?penstock ([a-z][^\n`#]*)", TEXT.replace("\\\n", " "), re.MULTILINE)
LINKS = re.findall(r"\]\(([^)#]+)[^)]*\)", TEXT)


@pytest.mark.parametrize("document", [README, EVENTS], ids=lambda path: path.name)
def test_tables_and_plan_are_what_the_code_says(document: Path) -> None:
    assert filled(document) == document.read_text(), "write them again: python -m tests.support.docs.readme_tables"


def test_the_readme_can_be_read_in_ten_minutes() -> None:
    assert len(TEXT.split()) < 1_800


def test_the_index_of_decisions_names_every_record() -> None:
    assert INDEX.read_text() == decisions(), "write it again: python -m tests.support.docs.readme_tables"


def test_the_plan_loads() -> None:
    load_plan(PLAN.read_text(), "deploy/plans/checkout.yaml")


RECORDS = sorted(path for path in INDEX.parent.rglob("*.md") if path != INDEX)


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_of_a_decision_has_its_place_and_its_headings(path: Path) -> None:
    assert path.parent.name in AREAS, "records stand in docs/decisions/<area>"
    headings = re.findall(r"^## (.+)$", path.read_text(), re.MULTILINE)
    assert headings == ["Context", "Decision", "Rejected", "Consequences"]
    links = re.findall(r"\]\(([^)#:]+)\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("link", sorted({link for link in LINKS if "://" not in link}))
def test_every_link_into_the_repository_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


@pytest.mark.parametrize("line", sorted(set(COMMANDS)))
def test_every_command_is_one_with_these_options(line: str) -> None:
    command: Any = get_command(app)
    words = line.split()
    while words and not words[0].startswith("-") and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
        command = command.load() if hasattr(command, "load") else command
    assert command.name != "penstock", f"no such command: penstock {line}"
    assert not getattr(command, "commands", {}), f"not a whole command: penstock {line}"
    known = {option for parameter in command.params for option in parameter.opts}
    used = {word.split("=")[0].rstrip(")") for word in words if word.startswith("--")}
    assert used <= known


@pytest.mark.parametrize("block", BLOCKS)
def test_python_snippets_parse_and_import_what_there_is(block: str) -> None:
    tree = ast.parse(block)
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            exec(compile(ast.Module([node], []), "README.md", "exec"), {})


def test_it_names_only_tests_that_there_are() -> None:
    for name in re.findall(r"`(tests/[\w/]+\.py)`", TEXT):
        assert Path(ROOT / name).exists()


def test_it_says_what_was_not_run() -> None:
    assert "have not been run by a container engine" in TEXT
