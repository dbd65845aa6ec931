"""Bars and facts: from their sources to the panel."""
