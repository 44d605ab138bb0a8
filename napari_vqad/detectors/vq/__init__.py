"""The vector-quantised detector: codes, NLL and restorations."""
