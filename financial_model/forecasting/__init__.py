"""From a checkpoint to calibrated forecasts."""
