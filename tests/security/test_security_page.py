"""docs/security.md says what the tests hold: every test that it names is there, and every attack here is named."""

import re
from pathlib import Path

from penstock.access.verbs import markdown_table

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = set(re.findall(r"`(test_\w+)`", PAGE))
_TEST = re.compile(r"^(?:async )?def (test_\w+)\(", re.MULTILINE)


def test_every_test_that_the_page_names_is_there() -> None:
    found = {name for path in (ROOT / "tests").rglob("test_*.py") for name in _TEST.findall(path.read_text())}
    assert NAMED - found == set()
    assert len(NAMED) > 30


def test_every_file_of_attacks_holds_a_line_of_the_page() -> None:
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        if path != Path(__file__):
            assert NAMED & set(_TEST.findall(path.read_text())), path.name


def test_every_row_of_what_a_key_can_do_names_its_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "held by" not in line]
    keys = PAGE.partition("## What a stolen key")[2].partition("## Keys and their rotation")[0]
    for row in rows:
        if row in keys and not row.startswith("|---") and "Not defended" not in row:
            assert "`test_" in row, row


def test_the_table_of_roles_is_the_one_that_the_doors_use() -> None:
    assert PAGE.partition("<!-- roles -->\n")[2].partition("\n<!-- /roles -->")[0] == markdown_table()
