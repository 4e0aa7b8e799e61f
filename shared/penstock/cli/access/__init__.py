"""Commands on tokens and on what they may do."""
