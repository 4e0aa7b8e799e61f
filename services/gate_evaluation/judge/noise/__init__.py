"""How much two halves of one fleet differ beyond chance: dispersion, bursts and the traffic split."""
