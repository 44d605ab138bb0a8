"""Findings in anatomical terms, and the reader's verdicts and notes on them."""
