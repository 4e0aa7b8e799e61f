"""Tells subscribers what happened: signed, again and again until they have heard, and never one at another's cost."""
