"""The judge as a program: JSON messages of any outside simulation in, verdict lines out."""

from tests.bench.protocol.program import Program

__all__ = ["Program"]
