"""The words of the project: one word for one thing (docs/glossary.md), and none of those that puzzled readers."""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

AVOID = {
    r"\bhear(?:s|d|ing)?\b": "receive, read",
    r"\banew\b": "again",
    r"\bfor ever\b": "indefinitely, without limit",
    r"\b(?:take|takes|taken|took|taking) back\b": "roll back",
    r"\b(?:take|takes|taken|took|taking) (?:the|a|it|the bad) (?:release )?back\b": "roll back",
    r"\bwhoever\b": "who, anybody who",
    r"\bin the making\b": "being built",
    r"\bwhat (?:became|becomes|comes) of\b": "the outcome of",
    r"\bkeepers?\b": "writer, owner",
    r"\blanes?\b": "series, queue",
    r"\bsays? (?:so )?aloud\b": "reports",
    r"\btold apart\b": "distinguished",
    r"\bmeanwhile\b": "in the meantime; say until when",
}
"""Pattern of a word to avoid, and what to write instead."""

NOT_YET: tuple[str, ...] = ()
LONGEST_AVERAGE = 25
"""Words of a sentence, on average over a page."""


def product() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this tree is not a git checkout, so which files belong to it is not known")
    names = [
        name for name in listed.stdout.splitlines() if name.startswith(("shared/", "services/", "deploy/", "docs/"))
    ]
    names += ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
    return [name for name in names if name.endswith((".py", ".md")) and (ROOT / name).is_file()]


def prose_of(name: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of what people read: all of Markdown; comments, docstrings and messages of code."""
    text = (ROOT / name).read_text()
    if name.endswith(".md"):
        yield from enumerate(text.splitlines(), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value


NAMES = [name for name in product() if not name.startswith(NOT_YET)]


@pytest.mark.parametrize("name", NAMES)
def test_no_word_that_puzzles_readers(name: str) -> None:
    found = [
        f"{name}:{line}: {match[0]!r}: write {instead}"
        for line, text in prose_of(name)
        for pattern, instead in AVOID.items()
        for match in re.finditer(pattern, text, re.IGNORECASE)
        if "decisions/" not in text
    ]
    assert found == []


def sentences(text: str) -> list[list[str]]:
    """Return the words of each sentence of a page, without code, tables, lists of links and headings."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    kept = [line for line in text.splitlines() if not re.match(r"\s*[|#]|    |<!--|!\[", line)]
    paragraphs = re.split(r"\n\s*\n|\n(?=\s*[-*\d]+[.)]? )", "\n".join(kept))
    found = [re.split(r"(?<=[.!?:;])\s+", " ".join(paragraph.split())) for paragraph in paragraphs]
    return [sentence.split() for paragraph in found for sentence in paragraph if len(sentence.split()) > 2]


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".md")])
def test_sentences_are_short_on_average(name: str) -> None:
    lengths = [len(words) for words in sentences((ROOT / name).read_text())]
    assert not lengths or sum(lengths) / len(lengths) <= LONGEST_AVERAGE
