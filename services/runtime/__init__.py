"""What the shells of all services share: Kafka, HTTP, the decider's loop. It knows no service."""
