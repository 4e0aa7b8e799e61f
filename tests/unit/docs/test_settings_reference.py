"""Every setting is documented, with its default, and nothing is documented that is none."""

import re
from pathlib import Path

from penstock.settings import Settings, variable_of

TEXT = (Path(__file__).parents[3] / "docs" / "settings.md").read_text()


def test_every_setting_stands_there_once_with_its_default_and_its_description() -> None:
    rows = re.findall(r"^\| `(PENSTOCK_\w+)` \| (.*?) \| (.*) \|$", TEXT, re.MULTILINE)
    known = {}
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = "none" if default is None else "empty" if default == "" else f"`{default!s}`"
        shown = shown.lower() if isinstance(default, bool) else shown
        shown = "the host's name" if name == "instance" else shown
        known[variable_of(name)] = (shown, field.description)
    assert {variable: (default, text) for variable, default, text in rows} == known, (
        "docs/settings.md and penstock/settings.py differ"
    )
    assert [variable for variable, _, _ in rows] == list(known)
