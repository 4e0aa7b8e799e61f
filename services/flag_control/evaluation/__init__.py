"""Evaluates flags and checks definitions before a client sees them. Knows no rollout, no Kafka and no HTTP."""
