"""One person, one name: identities are compared after normalization, so that `Ann ` and `ann` are the same person."""

import unicodedata


def normalized(identity: str) -> str:
    """Return the form in which identities are compared: NFKC, case folded, without invisible characters, trimmed."""
    visible = "".join(c for c in unicodedata.normalize("NFKC", identity) if unicodedata.category(c) not in {"Cf", "Cc"})
    # Case folding can undo the normal form of a few characters.
    return unicodedata.normalize("NFKC", visible.casefold()).strip()


def same_person(one: str | None, other: str | None) -> bool:
    """Whether both name the same person; nobody is the same as nobody."""
    return one is not None and other is not None and normalized(one) == normalized(other)
