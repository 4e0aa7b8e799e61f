"""YAML flag files: read as flagd reads them, and never for longer than they look."""

import pytest

from penstock.errors import InvalidError
from services.flag_control.evaluation.validate import check
from services.flag_control.evaluation.yaml12 import parse_yaml

FLAG = "flags:\n  a:\n    state: ENABLED\n    variants: {on: true, off: false}\n    defaultVariant: off\n"


def test_on_and_off_are_names_as_in_every_example_of_flagd() -> None:
    flag = check("a.yaml", parse_yaml("a.yaml", FLAG)).source.flags["a"]
    assert (flag["variants"], flag["defaultVariant"]) == ({"on": True, "off": False}, "off")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"), ("No", "No"), ("true", True), ("FALSE", False), ("null", None), ("~", None), ("", None),
        ("2026-01-31", "2026-01-31"), ("12:30", "12:30"), ("012", 12), ("0o17", 15), ("0x1F", 31), ("-7", -7),
        ("1_000", "1_000"), ("1.5", 1.5), ("1e3", 1000.0), ("1.", 1.0), (".5", 0.5), ("1.2.3", "1.2.3"), ("=", "="),
        ('"true"', "true"),
    ],
)  # fmt: skip
def test_plain_words_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    found = parse_yaml("x", f"x: {text}")["x"]
    assert (found, type(found)) == (value, type(value))


def test_aliases_and_merges_are_followed_but_not_without_end() -> None:
    assert parse_yaml("x", "a: &a {b: 1}\nc: {<<: *a, d: 2}\ne: *a") == {
        "a": {"b": 1}, "c": {"b": 1, "d": 2}, "e": {"b": 1},
    }  # fmt: skip
    laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    for endless in (laughs, "a: &a {b: *a}", "a: &a [*a]"):
        with pytest.raises(InvalidError, match="by its aliases"):
            parse_yaml("x", endless)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: 1\na: 2", "repeats the key 'a'"),
        ("a: [", "is not YAML"),
        ("a: !!python/object:os.system x", "is not YAML"),
        ("[" * 5000, "is not YAML"),
        ("a: !!int x", "is not YAML"),
    ],
)
def test_what_is_no_yaml_says_so(text: str, what: str) -> None:
    with pytest.raises(InvalidError, match=what):
        parse_yaml("x", text)


@pytest.mark.parametrize(
    ("value", "what"),
    [("!!binary aGVsbG8=", "bytes"), ("!!set {a, b}", "set"), (".nan", "none"), (".inf", "too large")],
)
def test_values_that_json_has_no_word_for_are_refused(value: str, what: str) -> None:
    text = f"flags: {{a: {{state: ENABLED, variants: {{x: {value}}}, defaultVariant: x}}}}"
    with pytest.raises(InvalidError, match=what):
        check("x", parse_yaml("x", text))


def test_a_key_that_is_no_text_is_refused_with_the_way_out() -> None:
    with pytest.raises(InvalidError, match="in quotes"):
        check("x", parse_yaml("x", FLAG.replace("  a:", "  1:")))
