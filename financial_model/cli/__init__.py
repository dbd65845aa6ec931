"""The command line of the package."""

from .commands import app, main

__all__ = ["app", "main"]
