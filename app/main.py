"""ASGI application of the shipped service: `uvicorn app.main:create_app --factory`."""

from autocrud.service.main import create_app

__all__ = ["create_app"]
