"""A local Kafka broker from checked jars: Java, start cache, and the broker process."""
