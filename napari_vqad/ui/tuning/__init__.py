"""The tuning bench below the canvas: its dock and its tabs."""
