"""`penstock replay` and `postmortem`: answers from the record."""
