"""Compare models: several models on one scan, side by side."""
