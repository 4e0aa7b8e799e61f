"""Which points of a request belong to which gate and cohort of a watched target."""
