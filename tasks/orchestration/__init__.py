"""Prefect's server, retries, web interfaces and the webhook."""
