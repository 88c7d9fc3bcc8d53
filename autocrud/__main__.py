"""Command `python -m autocrud`: serve with the settings of the environment; `serve models.py` serves a file."""

from autocrud.service.cli import main

if __name__ == "__main__":
    main()
