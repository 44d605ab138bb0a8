"""The napari front: the only place where Qt and napari are imported."""
