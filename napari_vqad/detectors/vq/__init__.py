"""The vector-quantised detector: codes, NLL, restorations."""
