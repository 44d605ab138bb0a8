"""The explorer: what is computed when, what is kept, and how maps are made. It knows no detector by name."""
