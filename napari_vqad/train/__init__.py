"""Training, calibration and cards: from healthy scans to a bundle."""
