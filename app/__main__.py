"""Command `python -m app`: serve the shipped models, or those of `AUTOCRUD_MODELS`."""

from autocrud.service.cli import main

if __name__ == "__main__":
    main()
