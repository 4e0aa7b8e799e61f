"""Rolls a release back step by step, verifies containment and recovery, and calls a person when either fails."""
