"""Staged releases on Kafka."""
