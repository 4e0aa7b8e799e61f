"""How rollouts, numbers and verdicts read to a person."""
