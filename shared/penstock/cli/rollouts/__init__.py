"""`penstock rollouts` and the commands that steer a rollout."""
