"""The explorer in Jupyter: ipywidgets and ipyniivue on the same engine and the same words as the napari plugin."""
