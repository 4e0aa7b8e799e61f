"""What the console knows, folded from public events, and the JSON views of it."""
