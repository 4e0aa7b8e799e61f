"""Postmortems, drafted from the record: facts here, judgement left to people. Pure."""

from penstock.postmortem.facts import Postmortem, Said
from penstock.postmortem.gather import postmortem
from penstock.postmortem.text import markdown

__all__ = ["Postmortem", "Said", "markdown", "postmortem"]
