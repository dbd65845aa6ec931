"""Industry, style and regime as of a date."""
