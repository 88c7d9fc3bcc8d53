"""Error of a storage that is used before it is open."""

from autocrud.errors import StorageUnavailable


class StorageNotOpen(StorageUnavailable):
    """The application serves requests, and its lifespan has not run."""

    def __init__(self) -> None:
        super().__init__(
            "Storage is not open: the application's lifespan has not run. Run the app with lifespan support, or use"
            " `async with crud.running()` for a mounted app."
        )
