"""What the command line reads itself: flagd files for an import, and code that names flags."""

import os
from pathlib import Path

import pytest

from penstock.cli.flags.files import definitions_of
from penstock.cli.flags.references import references
from penstock.errors import InvalidError
from services.flag_control.flag.definitions import parse_definition
from services.flag_control.flag.exposure import flag_document
from services.flag_control.flag.state import FlagState
from tests.support.flags.sets import EVERY_KIND, boolean, written


def test_an_imported_flag_is_served_as_it_was_until_a_rollout_takes_it_over(tmp_path: Path) -> None:
    importable = {key: flag for key, flag in EVERY_KIND["flags"].items() if flag.get("defaultVariant")}
    found = definitions_of(written(tmp_path / "flags.json", {"flags": importable}), lenient=False)
    for key, flag in importable.items():
        name = key.replace("/", "-")
        definition = parse_definition(f"production/shop/{name}", found[key])
        served = flag_document(f"production/shop/{name}", FlagState(version=1, definition=definition))
        for part in ("state", "variants", "defaultVariant", "targeting"):
            assert served.get(part) == flag.get(part), key


def test_a_list_of_flags_and_references_between_rules_are_read(tmp_path: Path) -> None:
    listed = [{"key": "a", **boolean(targeting={"if": [{"$ref": "beta"}, "on", "off"]})}]
    path = written(tmp_path / "flags.json", {"flags": listed, "$evaluators": {"beta": {"==": [{"var": "x"}, 1]}}})
    assert definitions_of(path, False)["a"]["targeting"] == {"if": [{"==": [{"var": "x"}, 1]}, "on", "off"]}


def test_a_flag_that_does_not_say_which_variant_is_safe_is_not_imported(tmp_path: Path) -> None:
    flags = {"a": boolean(defaultVariant=None), "b": boolean(variants={}), "c": boolean()}
    with pytest.raises(InvalidError) as caught:
        definitions_of(written(tmp_path / "flags.json", {"flags": flags}), False)
    assert [problem.where for problem in caught.value.problems] == ["flags.a.defaultVariant", "flags.b.variants"]


def test_lifecycle_is_taken_from_the_metadata_and_the_rest_is_served(tmp_path: Path) -> None:
    flag = boolean(metadata={"owner": "team-a", "type": "experiment", "permanent": True, "colour": "red", "version": 9})
    found = definitions_of(written(tmp_path / "flags.json", {"flags": {"a": flag}}), False)["a"]
    assert found["lifecycle"] == {"owner": "team-a", "type": "experiment", "permanent": True}
    assert found["metadata"] == {"colour": "red"}


def test_only_whole_keys_count_as_references(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/app.py").write_text(
        'if flag("new-form"):\n    pass\nif flag("new-form-2"): pass  # not.new-form\n'
    )
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/x").write_text("new-form")
    (tmp_path / "binary").write_bytes(b"\xff\xfe new-form")
    found = list(references(tmp_path, ["new-form", "new-form-2", "never"]))
    assert [(one.key, one.path.name, one.line) for one in found] == [
        ("new-form", "app.py", 1),
        ("new-form-2", "app.py", 3),
    ]


def test_references_passes_over_what_is_no_text_and_counts_lines_as_editors_do(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("one\x0c\u2028two\nnew-form\r\n")
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    (tmp_path / "up").symlink_to(tmp_path, target_is_directory=True)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "huge.txt").write_text("new-form" * 300_000)
    (tmp_path / "binary").write_bytes(b"\x00\xff new-form")
    assert [(one.path.name, one.line) for one in references(tmp_path, ["new-form"])] == [("app.py", 2)]


def test_every_verb_has_its_help() -> None:
    from typer.testing import CliRunner

    from penstock.cli.flags.commands import app

    text = CliRunner().invoke(app, ["--help"]).output
    for verb in ("list", "show", "kill", "undo", "opt-out", "archive", "serve", "import", "export", "references"):
        assert verb in text
