"""Hermes, an A-share forecasting workbench. Importing this opens nothing and prints nothing."""

__version__ = "0.1.0"
