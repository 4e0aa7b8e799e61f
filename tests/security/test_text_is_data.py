"""Attacks by text: reasons, names and ids steer no terminal, forge no log line, and render nothing in a postmortem."""

import io
import logging
import re

import pytest

from penstock.cli.output import dumps, marked, plain
from penstock.events import (
    DeliveryFailed,
    Ground,
    Release,
    RollbackEscalated,
    RollbackRequested,
    RollbackStarted,
    RolloutAnnounced,
    Why,
)
from penstock.postmortem import Said, markdown, postmortem
from penstock.postmortem.facts import Postmortem
from services.runtime.process.logs import OneLine
from tests.support.builders import an
from tests.support.metrics.windows import moment
from tests.support.plans import SHORT, TARGET

EVIL = [
    "\x1b]0;owned\x07",
    "\x1b[2J\x1b[31mDONE",
    "\x9b31m",
    "a\nERROR root: forged",
    "a\rb",
    "a\u2028b\u2029c",
    "\u202egnp.exe",
    "\x00",
]
MARKDOWN = [
    "![x](https://attacker.example/pixel.png)",
    "[click](javascript:alert(1))",
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "# heading",
    "a\n\n# heading",
    "| cell | cell |",
    "`code`",
    "**bold** ~~struck~~",
    "@everyone",
    "https://attacker.example/pixel",
    "[ref]: https://attacker.example",
    "- item",
    "1. item",
    "&lt;b&gt;",
]


ROLLOUT = "ro-0123456789ab"


def postmortem_with(text: str) -> Postmortem:
    """Return the facts of a rollback in which everything that somebody may choose is this text."""
    # Headers carry actors and ids, so events refuse control characters in them; texts hold any.
    name = text if text.isprintable() else "calm"
    common = {"target": TARGET, "rollout": ROLLOUT, "actor": name}
    release = Release(
        service="shop", version=text, notes=text, ticket=text, author=text, changes=(text,), artifact=text
    )
    ground = Ground(why=Why.PERSON, text=text)
    events = [
        an(RolloutAnnounced, **common, time=moment(0), release=release, plan_text=SHORT, plan_name="banner"),
        an(RollbackRequested, **common, id=f"r{name}", time=moment(1), reason=text),
        an(RollbackStarted, **common, id=f"s{name}", time=moment(2), ground=ground, version=text, sequence=3),
        an(RollbackEscalated, **common, time=moment(3), reason=text),
        an(DeliveryFailed, **common, time=moment(4), subscriber=text, event=f"s{name}", reason=text),
    ]
    return postmortem(ROLLOUT, [Said(event, f"topic/0@{place}") for place, event in enumerate(events)])


@pytest.mark.parametrize("text", EVIL)
def test_text_of_others_steers_no_terminal(text: str) -> None:
    assert plain(text).isprintable()
    assert str(marked(text)).isprintable()
    assert dumps({"reason": text}).isprintable() or "\u202e" in text or "\u2028" in text


@pytest.mark.parametrize("text", EVIL)
def test_text_of_others_makes_no_second_log_line(text: str) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(OneLine())
    logger = logging.Logger("x")
    logger.addHandler(handler)
    logger.warning("refused: %s", text)
    try:
        raise ValueError(text)
    except ValueError:
        logger.exception("failed %s", text)
    first, second, *traceback = stream.getvalue().rstrip("\n").split("\n")
    assert all(line.isprintable() for line in (first, second, *traceback))
    assert all(line.startswith("    ") for line in traceback)


@pytest.mark.parametrize("names", [False, True])
@pytest.mark.parametrize("text", [*MARKDOWN, *EVIL])
def test_text_of_others_renders_nothing_in_a_postmortem(text: str, names: bool) -> None:
    facts: Postmortem = postmortem_with(text)
    drawn = markdown(facts, names=names)
    calm = markdown(postmortem_with("calm"), names=names)
    # The same headings, tables and lines as with a harmless text, and nothing that renders.
    assert sum(line.startswith("#") for line in drawn.splitlines()) == sum(
        line.startswith("#") for line in calm.splitlines()
    )
    assert len(drawn.splitlines()) == len(calm.splitlines())
    outside = re.sub(r"`[^`\n]*`", "", re.sub(r"\\.", "", drawn))
    assert "![" not in outside
    assert "](" not in outside
    assert "<" not in outside
    assert "@" not in outside
    assert "https://" not in outside
    assert all(c.isprintable() or c == "\n" for c in drawn)
