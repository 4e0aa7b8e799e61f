"""The partitions that this copy owns: their logs, snapshots, restore and the consumer group."""
