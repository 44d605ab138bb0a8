"""What the tests of the notebook share."""

import threading

from napari_vqad.detectors.settings import Settings

START = Settings(n_restorations=2, lambda_s="p20", lambda_p="p20", flag_voxels="p60", flag_slices="p5", method="light")
OF_A_RUN = ("seconds", "written", "computed_with", "mask", "mask_note", "date")


def threads():
    """The threads of explorers."""
    return [t for t in threading.enumerate() if t.name.startswith("napari-vqad") or isinstance(t, threading.Timer)]


def control(view, name):
    """The widget of a setting."""
    return view._panel.settings.controls[name].widget


def numbers(result):
    """The numbers of a result, without times."""
    return {name: value for name, value in result.as_dict().items() if name not in OF_A_RUN}
