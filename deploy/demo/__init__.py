"""The demo: a small real shop under load, whose releases Penstock moves, judges and rolls back."""
