"""The settings of the studies that tests save, and a way to change what is in a saved study."""

import json
import zipfile

from napari_vqad.detectors.settings import Settings

QUICK = Settings(n_restorations=3, lambda_p="p20", lambda_s=2.0, pooling="none", min_volume_ml=0.0)


def edit(path, **changes):
    """Change the header of a study; None takes a part of it out."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(parts["study.json"])
    for name, value in changes.items():
        part, _, key = name.partition("__")
        if value is None:
            del header[name]
        elif key:
            header[part][key] = value
        else:
            header[part] = value
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("study.json", json.dumps(header))
        archive.writestr("arrays.safetensors", parts["arrays.safetensors"])
