"""The console: HTTP API, intake of CI's events, and the dashboard."""
