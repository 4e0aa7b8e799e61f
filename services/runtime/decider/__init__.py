"""The shell around a pure decider: restore, fold, append, snapshot."""
