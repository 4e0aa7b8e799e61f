"""Judges releases on metrics: windows in, verdicts with all their numbers out."""
