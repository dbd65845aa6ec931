"""Codes, calendar and the dated rules of the exchanges."""
