"""Losses and the loop."""
