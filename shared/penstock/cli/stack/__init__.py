"""`penstock up`, `demo`, `doctor` and `test`."""
