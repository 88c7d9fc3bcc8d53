"""Command `python -m autocrud.migrate`."""
