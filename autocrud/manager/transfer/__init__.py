"""Export and import: one model's resources as lines of JSON, and lines as resources."""
