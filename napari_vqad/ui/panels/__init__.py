"""The panels of the dock: inputs, settings, views, export."""
