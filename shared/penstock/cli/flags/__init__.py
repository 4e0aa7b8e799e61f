"""`penstock flags`: what is served, kill, undo, and flagd files."""
