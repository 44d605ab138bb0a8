"""Simulated heads and anomalies."""
