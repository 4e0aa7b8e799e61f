"""Hostile clients against every door: nothing kills it, nobody else waits, everybody learns why they were refused."""
