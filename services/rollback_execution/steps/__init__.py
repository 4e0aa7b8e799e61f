"""The kinds of steps that a plan may name."""
