"""The CI snippets use commands and options that there are, and a key that survives a re-run."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

import penstock.cli
from penstock.cli.lazy import LazyCommand

FOLDER = Path(__file__).parents[3] / "deploy" / "ci"
SNIPPETS = sorted(FOLDER.glob("*.yaml"))


def scripts(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["run"]] if isinstance(node.get("run"), str) else []
        own += [line for line in node.get("script", []) if isinstance(line, str)]
        return own + [script for child in node.values() for script in scripts(child)]
    return [script for child in node for script in scripts(child)] if isinstance(node, list) else []


def commands(path: Path) -> list[list[str]]:
    text = "\n".join(scripts(yaml.safe_load(path.read_text()))).replace("\\\n", " ")
    return [shlex.split(found.rstrip(")")) for found in re.findall(r"penstock (?:[a-z-]+ )[^|;>\n]*", text)]


def test_there_is_a_snippet_for_each_ci() -> None:
    assert [path.name for path in SNIPPETS] == ["github-actions.yaml", "gitlab-ci.yaml"]


@pytest.mark.parametrize("path", SNIPPETS, ids=lambda path: path.stem)
def test_every_command_in_it_parses(path: Path) -> None:
    found = commands(path)
    assert {tuple(words[1:3]) for words in found} >= {("events", "publish"), ("rollouts", "wait"), ("plans", "lint")}
    for words in found:
        command: Any = get_command(penstock.cli.app)
        rest = words[1:]
        while getattr(command, "commands", None) or isinstance(command, LazyCommand):
            command = command.load() if isinstance(command, LazyCommand) else command.commands[rest.pop(0)]
        context = command.make_context("penstock", rest, resilient_parsing=False)
        assert context.params


@pytest.mark.parametrize("path", SNIPPETS, ids=lambda path: path.stem)
def test_the_idempotency_key_leaves_out_what_differs_between_attempts(path: Path) -> None:
    keys = re.findall(r"--idempotency-key \"([^\"]+)\"", path.read_text())
    assert len(keys) == 1
    assert not re.search(r"ATTEMPT|CI_JOB_ID|RANDOM|date", keys[0])
    assert "RUN_ID" in keys[0] or "PIPELINE_ID" in keys[0]
