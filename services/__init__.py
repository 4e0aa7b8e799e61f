"""The services that are deployed, one package each. `python -m services` runs them."""
