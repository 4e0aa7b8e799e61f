"""The published standards that contract tests hold the code against; they stand beside the tree, not in it."""

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[4] / "shared" / "standards"


def standard(path: str) -> Path:
    """Return a file or folder of the standards; skips the test with a reason where it is absent."""
    found = FOLDER / path
    if not found.exists():
        pytest.skip(f"the published standard {path} is not beside this tree (../shared/standards)")
    return found


def documents(folder: str) -> dict[str, Any]:
    """Return every JSON document below a folder of the standards by its path there."""
    root = standard(folder)
    return {str(path.relative_to(root)): json.loads(path.read_text()) for path in sorted(root.rglob("*.json"))}
