"""Kafka's jars: only those of the committed list are taken."""

import hashlib
from pathlib import Path

import pytest

from penstock.errors import CorruptError, UnavailableError
from penstock.local.kafka import jars
from penstock.local.kafka.jars import Fetch, Jar, kafka_jars, listed, missing_jars
from penstock.local.progress import Narrator

CONTENTS = {"org/a/one/1.0/one-1.0.jar": b"one", "org/b/two/2.0/two-2.0.jar": b"two"}


@pytest.fixture(autouse=True)
def two_listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A list of two jars in place of the committed one."""
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in CONTENTS.items()]
    (tmp_path / "list").write_text("".join(lines))
    short = listed(tmp_path / "list")
    monkeypatch.setattr(jars, "listed", lambda: short)


def repository(contents: dict[str, bytes], asked: list[str]) -> Fetch:
    def fetch(jar: Jar, aside: Path, took: object) -> Path:
        asked.append(str(jar.path))
        path = aside / jar.path.name
        path.write_bytes(contents[str(jar.path)])
        return path

    return fetch


def test_the_committed_list_names_one_kafka_of_this_version_and_each_file_once() -> None:
    committed = listed(jars.LIST)
    assert [jar.coordinate for jar in committed if jar.coordinate[1] == "kafka_2.13"] == [
        ("org.apache.kafka", "kafka_2.13", jars.VERSION)
    ]
    assert len({jar.path.name for jar in committed}) == len(committed)
    assert all(len(jar.sha256) == 64 and jar.path.suffix == ".jar" for jar in committed)
    assert all(jar.coordinate[2] == jars.VERSION for jar in committed if jar.coordinate[0] == "org.apache.kafka")


def test_jars_are_fetched_once_and_then_reused(tmp_path: Path) -> None:
    asked: list[str] = []
    for _ in range(2):
        paths = kafka_jars(Narrator(quiet=True), tmp_path, repository(CONTENTS, asked))
        assert [path.read_bytes() for path in paths] == [b"one", b"two"]
    assert sorted(asked) == sorted(CONTENTS)
    assert missing_jars(tmp_path) == 0


def test_a_jar_with_another_hash_is_refused_and_not_kept(tmp_path: Path) -> None:
    changed = {**CONTENTS, "org/b/two/2.0/two-2.0.jar": b"evil"}
    with pytest.raises(CorruptError, match=r"two-2.0.jar .* was not taken"):
        kafka_jars(Narrator(quiet=True), tmp_path, repository(changed, []))
    assert not list(tmp_path.rglob("two-2.0.jar"))
    # Jars come side by side: the others may or may not have arrived when the bad one is refused.
    assert missing_jars(tmp_path) >= 1


def test_a_jar_that_was_damaged_in_the_cache_is_fetched_again(tmp_path: Path) -> None:
    paths = kafka_jars(Narrator(quiet=True), tmp_path, repository(CONTENTS, []))
    paths[0].write_bytes(b"on")
    asked: list[str] = []
    kafka_jars(Narrator(quiet=True), tmp_path, repository(CONTENTS, asked))
    assert asked == ["org/a/one/1.0/one-1.0.jar"]
    assert paths[0].read_bytes() == b"one"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionError("Name or service not known"), "check the network"),
        (OSError(28, "No space left on device"), "is full"),
        (RuntimeError("not found in remote repositories"), "could not be fetched"),
    ],
)
def test_why_they_cannot_be_fetched_is_said_with_the_next_step(tmp_path: Path, error: Exception, words: str) -> None:
    def fetch(jar: Jar, aside: Path, took: object) -> Path:
        raise error

    with pytest.raises(UnavailableError, match=words):
        kafka_jars(Narrator(quiet=True), tmp_path, fetch)
