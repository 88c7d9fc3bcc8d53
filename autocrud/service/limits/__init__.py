"""Limits of the service: the rate of requests per client, and the number of requests in flight."""
