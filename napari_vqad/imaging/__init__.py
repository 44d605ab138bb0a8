"""A scan and its geometry: voxels, grid, registration, intensity, brain mask."""
