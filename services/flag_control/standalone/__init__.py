"""Serves flagd files with the production code, without Kafka or Redis."""
