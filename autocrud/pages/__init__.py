"""Pages for browsers: Swagger UI and ReDoc, the home page, and the data view.

No page loads anything from another host.
"""

from autocrud.pages.docs import add_docs
from autocrud.pages.home import add_home

__all__ = ["add_docs", "add_home"]
