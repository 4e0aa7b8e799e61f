"""Delivers events to subscribers: signed, retried until they are received, and no subscriber slows another."""
