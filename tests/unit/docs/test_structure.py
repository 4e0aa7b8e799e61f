"""The size of modules, functions and folders: a newcomer finds a room by its name and sees it whole."""

import ast
import statistics
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TO_BE_SPLIT = {
    ".",
}
PRODUCT = ("shared/penstock", "services", "deploy/demo")
FILES_IN_A_FOLDER = 15
LINES_OF_A_MODULE, MEDIAN_OF_MODULES = 350, 100
LINES_OF_A_FUNCTION, P95_OF_FUNCTIONS = 70, 30


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this tree is not a git checkout, so which files belong to it is not known")
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def modules() -> dict[str, str]:
    """Source by path, of every module of the product."""
    paths = [name for name in tracked() if name.endswith(".py") and name.startswith(PRODUCT)]
    return {name: (ROOT / name).read_text() for name in paths}


def functions(source: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_modules_are_small(modules: dict[str, str]) -> None:
    lengths = {name: len(source.splitlines()) for name, source in modules.items() if source.strip()}
    assert {name: length for name, length in lengths.items() if length > LINES_OF_A_MODULE} == {}
    assert statistics.median(lengths.values()) <= MEDIAN_OF_MODULES


def test_functions_are_small(modules: dict[str, str]) -> None:
    lengths = {(path, name): lines for path, source in modules.items() for name, lines in functions(source)}
    assert {place: lines for place, lines in lengths.items() if lines > LINES_OF_A_FUNCTION} == {}
    assert statistics.quantiles(lengths.values(), n=20)[-1] <= P95_OF_FUNCTIONS


def test_every_module_says_why_it_exists(modules: dict[str, str]) -> None:
    assert [name for name, source in modules.items() if not ast.get_docstring(ast.parse(source))] == []


def test_no_folder_is_a_hall() -> None:
    counted = Counter(str(Path(name).parent) for name in tracked())
    crowded = {folder: count for folder, count in counted.items() if count > FILES_IN_A_FOLDER}
    assert {folder: count for folder, count in crowded.items() if folder not in TO_BE_SPLIT} == {}
