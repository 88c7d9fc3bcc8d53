"""Connections of clients: their limits."""
