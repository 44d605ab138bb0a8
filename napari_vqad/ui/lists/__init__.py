"""The lists below the canvas: findings, flagged slices, restorations."""
