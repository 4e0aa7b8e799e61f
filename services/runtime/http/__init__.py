"""The HTTP server that services share."""
