"""E-processes, their mixtures and boosting: how one window changes the evidence of a gate."""
