"""OpenAPI: the parts of the document that FastAPI does not derive from signatures."""
