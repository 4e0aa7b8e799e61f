"""The command reference is what the commands say of themselves."""

from pathlib import Path

from tests.support.docs.cli_reference import page


def test_the_command_reference_is_up_to_date() -> None:
    written = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
    assert written == page(), "make it anew: python -m tests.support.docs.cli_reference > docs/cli.md"
