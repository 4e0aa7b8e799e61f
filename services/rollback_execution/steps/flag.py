"""The flag step: exposure to zero, done when flag control's accepted log says so; this service only watches."""

from services.rollback_execution.state import Applied, Running, State

KIND = "flag"


def applied(state: State, run: Running) -> Applied | None:
    """Return the flag's change to zero that this rollback asked for, once flag control's log has it."""
    flag = state.flag
    return flag if flag is not None and flag.entry == run.id and flag.exposure == 0 else None
