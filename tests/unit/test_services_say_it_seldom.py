"""While Kafka is away its client repeats itself twice a second: the log keeps one line in ten seconds, and others."""

import logging

from services.__main__ import Seldom


def passes(seldom: Seldom, words: str) -> bool:
    return seldom.filter(logging.LogRecord("aiokafka", logging.ERROR, "", 0, "%s", (words,), None))


def test_the_same_words_pass_once_in_ten_seconds_and_other_words_at_once() -> None:
    now = 0.0
    seldom = Seldom(lambda: now)
    assert [passes(seldom, words) for words in ("away", "away", "fenced", "away")] == [True, False, True, False]
    now = 9.9
    assert not passes(seldom, "away")
    now = 10.1
    assert passes(seldom, "away")
    assert not passes(seldom, "away")
