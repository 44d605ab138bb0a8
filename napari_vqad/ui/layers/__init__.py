"""The layers of an analysis in napari's viewer, and where their voxels lie."""
