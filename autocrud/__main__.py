"""Command `python -m autocrud`."""

from autocrud.service.cli import main

if __name__ == "__main__":
    main()
