"""Command `autocrud keys`: creates, lists and revokes API keys in the storage of the environment."""
