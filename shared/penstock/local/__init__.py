"""The local stack: a real Kafka and a Redis-compatible server as plain processes, no containers, no root."""
