"""Flag control: exposure as flagd flags, served to any OpenFeature client."""
