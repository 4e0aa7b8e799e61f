"""Postmortems, drafted from the record: facts here, judgement left to people. Pure."""

from .facts import Postmortem, Said
from .gather import postmortem
from .text import markdown

__all__ = ["Postmortem", "Said", "markdown", "postmortem"]
