"""Simulate heads and anomalies."""
