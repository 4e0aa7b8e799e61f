"""Measurements over several windows: tails of histograms, rolling counts and forecasts that gates read."""
