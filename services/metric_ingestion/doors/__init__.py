"""Where telemetry arrives: OTLP over HTTP and from Kafka, and the frames that every door publishes."""
