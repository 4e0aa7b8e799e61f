"""The flags that are measured: what the first two stages of a usual plan make of them."""

from penstock.chain import Document
from services.flag_control.evaluation.source import Source
from services.flag_control.flag.exposure import flag_document
from services.flag_control.flag.state import FlagState, Reach

TOKEN = "bench-token-of-no-use-anywhere-else"
SET = "production/bench"
TEAM = "team"
"""A flag in the stage of an audience: everyone whose address ends with the company's."""
RAMP = "flag-3"
"""A flag in the stage of a percentage."""

_AUDIENCE: Document = {"all_of": [{"attribute": "email", "ends_with": "@example.com"}]}


def source(flags: int, version: int = 1) -> Source:
    """Return a source of that many flags, all but one of them ramping."""
    documents = {
        f"flag-{number}": _flag(f"flag-{number}", Reach(0.25, {}, "bench"), version) for number in range(flags)
    }
    documents[TEAM] = _flag(TEAM, Reach(1.0, _AUDIENCE, "bench"), version)
    return Source(SET, documents, {"flagSetId": SET})


def _flag(name: str, reach: Reach, version: int) -> Document:
    return flag_document(f"{SET}/{name}", FlagState(version=version, reach=reach))
