"""The napari plugin. Only this folder imports Qt and napari."""
