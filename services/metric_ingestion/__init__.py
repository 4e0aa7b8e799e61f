"""Metric ingestion: reads telemetry, publishes one window per target and interval, and stays exact through restarts."""
