"""Staged releases on Kafka: the contract, the chain, and what outsiders use."""

__version__ = "0.1.0"
