"""A process of services: start, health, background tasks, and one owner per instance name."""
