"""The flags that are measured: what a rollout at 25 % makes of them."""

from services.flag_control.exposure import flag_document
from services.flag_control.source import Source
from services.flag_control.state import FlagState, Reach

TOKEN = "bench-token-of-no-use-anywhere-else"  # noqa: S105 - known to the measured server only
SET = "production/bench"


def source(flags: int, exposure: float = 0.25, version: int = 1) -> Source:
    """Return a source of that many flags, all ramping."""
    state = FlagState(version=version, reach=Reach(exposure=exposure, entry="bench"))
    documents = {f"flag-{number}": flag_document(f"{SET}/flag-{number}", state) for number in range(flags)}
    return Source(SET, documents, {"flagSetId": SET})
