"""Takes a release back step by step, watches that users are safe and well, and calls a person when they are not."""
