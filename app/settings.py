"""Settings of the shipped service, under the path that applications import them from."""

from autocrud.service.settings import Settings, SettingsError, load_settings

__all__ = ["Settings", "SettingsError", "load_settings"]
