"""Command `python -m autocrud.migrate MODULE`: rewrite stored resources to the schema versions of the models."""

import sys

from autocrud.service.migration.command import main

if __name__ == "__main__":
    sys.exit(main())
