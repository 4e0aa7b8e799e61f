"""Metric ingestion: telemetry of many sources in, one window a target and interval out, exact through any restart."""
