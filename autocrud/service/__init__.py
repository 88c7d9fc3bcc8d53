"""Service: an ASGI application and a command that serve registered models with the settings of the environment."""
