"""`penstock plans`, `gates` and `metrics`."""
