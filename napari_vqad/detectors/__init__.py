"""Detectors: each computes named maps from a volume."""
