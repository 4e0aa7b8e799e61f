"""A stack that was killed leaves its note; `doctor` must not take that for a stack that runs."""

from pathlib import Path

from penstock.local.state import held, is_held


def test_a_folder_is_held_only_while_a_stack_holds_it(tmp_path: Path) -> None:
    (tmp_path / "local.json").write_text("{}")
    assert not is_held(tmp_path)
    with held(tmp_path):
        assert is_held(tmp_path)
    assert not is_held(tmp_path)


def test_a_folder_that_is_not_there_is_held_by_nobody(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "absent")
