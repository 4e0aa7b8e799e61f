"""What an instance serves without Kafka: the last good flags on disk, spooled kills, and what its peers know."""
