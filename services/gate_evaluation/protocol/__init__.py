"""The judge as a program: JSON messages of any outside simulation in, verdict lines out."""

from services.gate_evaluation.protocol.program import Program

__all__ = ["Program"]
