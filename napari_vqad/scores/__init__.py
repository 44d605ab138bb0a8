"""Pure functions that compute scores from tensors and arrays, one equation each."""
