"""From samples to closed windows: pure arithmetic over the series and sources of one target."""
