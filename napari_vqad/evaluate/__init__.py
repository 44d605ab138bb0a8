"""Evaluation of detectors: metrics, simulated anomalies, tables and figures."""
