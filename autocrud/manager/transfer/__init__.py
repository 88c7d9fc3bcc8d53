"""Export and import of one model's resources as lines of JSON."""
