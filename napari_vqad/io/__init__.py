"""Files in and out; napari's readers and writers are a few lines over these."""
