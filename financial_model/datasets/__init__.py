"""From the panel to batches."""
