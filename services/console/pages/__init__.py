"""The dashboard: pages rendered on the server, whole without scripts."""
