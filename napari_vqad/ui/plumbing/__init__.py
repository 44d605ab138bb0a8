"""Connections, windows, workers, keys and preferences: what every widget uses."""
