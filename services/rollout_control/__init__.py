"""Decides every transition of every rollout."""
