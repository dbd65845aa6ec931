"""One file a trip."""
