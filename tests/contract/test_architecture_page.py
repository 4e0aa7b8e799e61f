"""docs/architecture.md and the glossary against the tree: every file that they name exists."""

import re

import pytest

from penstock.topics import TOPICS
from tests.support.docs.readme_tables import ROOT

TEXT = (ROOT / "docs" / "architecture.md").read_text()
PATHS = sorted(set(re.findall(r"`((?:shared|services|tests|deploy)/[\w./]+)`", TEXT)))
PARTS = sorted(set(re.findall(r"`((?:[a-z_]+/)+[a-z_.]+)`", TEXT)) - set(PATHS) - {"environment/service/flag"})


@pytest.mark.parametrize("path", PATHS)
def test_every_path_is_in_the_tree(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("part", PARTS)
def test_every_part_of_a_service_is_in_the_tree(part: str) -> None:
    assert any((ROOT / "services").glob(f"**/{part}"))


def test_every_public_topic_has_its_service_in_the_table() -> None:
    public = {topic.name for topic in TOPICS if topic.kind == "public"}
    assert [name for name in sorted(public) if f"`{name}`" not in TEXT] == []


def test_the_glossary_is_in_alphabetical_order() -> None:
    words = re.findall(r"^\| \*\*(.+?)\*\*", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    assert len(words) > 40
    assert words == sorted(words, key=str.casefold)
