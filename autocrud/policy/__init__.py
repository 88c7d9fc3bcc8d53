"""Policy: the principal of a request."""
