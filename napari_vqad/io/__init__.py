"""Reads and writes files; napari's readers and writers call these modules."""
