"""Networks: torch modules alone, no training, no files."""
