"""Tokenizers and priors of the vector-quantised detector."""
