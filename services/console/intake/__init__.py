"""Deploys from CI, over HTTP and from the `deploy-intake` topic."""
