"""What arrives from outside, before anything is known of it: limits of JSON, and server-sent events."""
