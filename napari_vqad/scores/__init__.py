"""Pure tensor functions, an equation each: codes and slices in, scores out."""
