"""What is drawn over the canvas, and how it is looked at."""
