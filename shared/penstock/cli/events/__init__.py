"""`penstock events`, `listen` and `dead-letters`."""
