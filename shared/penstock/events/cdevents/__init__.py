"""CDEvents in and out: the model, the deploys that CI announces, and the events that we publish in standard types."""
