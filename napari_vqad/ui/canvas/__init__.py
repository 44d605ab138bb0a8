"""Overlays on the canvas, and the ways to display it."""
