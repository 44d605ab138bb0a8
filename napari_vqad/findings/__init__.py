"""Findings in a patient's terms, and what a reader says of them."""
