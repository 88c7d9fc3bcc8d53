"""Policy: who may do what with the resources of a model."""
