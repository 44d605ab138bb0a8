"""What a researcher tunes a detector with, without a GUI: truth, sweeps, anomalies put into a scan, blind spots."""
