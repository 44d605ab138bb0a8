"""`python -m napari_vqad.detectors.publish`: store shared weights once, and write the registry of bundles.

Developers run it in a checkout after each change of models/.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

from napari_vqad.detectors.known_models import REGISTRY, described, written
from napari_vqad.detectors.library import list_bundles
from napari_vqad.files.shared import LIST, SHARED, shared_files, shared_path
from napari_vqad.resources import models_folder


def main() -> None:
    """Store the shared weights of the checkout's bundles once, and write the registry."""
    folder = models_folder()
    share(folder)
    REGISTRY.write_text(registry_of(folder), encoding="utf-8")
    print(f"wrote {REGISTRY}; {len(list_bundles(folder))} bundles, {_size(folder) / 1e6:.0f} MB")


def registry_of(folder: Path) -> str:
    """Return the registry of the bundles in a folder, as text."""
    return written({bundle.name: described(bundle) for bundle in list_bundles(folder)})


def share(folder: Path) -> None:
    """Move weights that are identical in several bundles of a folder into its folder `shared`, bytes unchanged."""
    bundles = list_bundles(folder)
    known = {bundle: described(bundle).files for bundle in bundles}
    users: dict[str, int] = defaultdict(int)
    for files in known.values():
        for name, file in files.items():
            users[file.sha256] += name.endswith(".safetensors")
    for bundle, files in known.items():
        shared = {name: file.sha256 for name, file in files.items() if users[file.sha256] > 1}
        for name, sha256 in shared.items():
            target = shared_path(bundle, sha256)
            target.parent.mkdir(exist_ok=True)
            if (bundle / name).exists():
                (bundle / name).replace(target)
        for name in set(shared_files(bundle)) - set(shared):  # no longer shared with another bundle
            if not (bundle / name).exists():
                (bundle / name).write_bytes(shared_path(bundle, files[name].sha256).read_bytes())
        if shared:
            (bundle / LIST).write_text(json.dumps(shared, indent=1) + "\n", encoding="utf-8")
        else:
            (bundle / LIST).unlink(missing_ok=True)
    wanted = {f"{sha256}.safetensors" for sha256, n in users.items() if n > 1}
    for path in (folder / SHARED).glob("*.safetensors"):
        if path.name not in wanted:
            path.unlink()


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
