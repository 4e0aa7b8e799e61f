"""Figures of flag serving, each beside the bare server or stream in the same run."""
