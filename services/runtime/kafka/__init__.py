"""How services reach Kafka: producing, positioned reading, republishing and dead letters."""
