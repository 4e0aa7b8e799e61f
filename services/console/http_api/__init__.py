"""The HTTP API: reads, writes, live streams, who may ask, and the OpenAPI document."""
