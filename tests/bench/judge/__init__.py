"""The published harness: our judge and its peers on the same simulated rollouts."""
