"""The layers of an analysis in napari's viewer, and the positions of their voxels."""
