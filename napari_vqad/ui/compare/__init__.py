"""Compare several models on one scan, side by side."""
