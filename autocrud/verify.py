"""Command `python -m autocrud.verify MODULE`: list references whose target is missing or deleted."""

import sys

from autocrud.service.verify_command import main

if __name__ == "__main__":
    sys.exit(main())
