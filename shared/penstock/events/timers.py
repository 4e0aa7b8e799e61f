"""A decider's own clock, as a recorded input: a timer of its folded state came due."""

from typing import Literal

from penstock.events.base import Event, Moment


class TimerFired(Event):
    """The timer of that name, armed for `due`, is due; `time` is `due`, so that every copy proposes the same input."""

    type: Literal["timer.fired"] = "timer.fired"
    timer: str
    due: Moment
