"""Write the diffusion sample, or healthy simulated heads to train on.

    python -m napari_vqad.simulate.diffusion_sample sample_data
    python -m napari_vqad.simulate.diffusion_sample DATA --heads 8

needs dipy (extra `diffusion`). The heads are numbered from 1 and have no lesions.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from napari_vqad.imaging.measurements import GradientTable
from napari_vqad.simulate.diffusion import LESIONS, SimulatedHead, scheme, simulated_head

GRADIENTS = scheme(3, 30, 1000.0)
SEED = 2018
# Voxel of the centre → kind and radius in mm: in white matter on the right, on the left in front, on the left behind.
SAMPLE_LESIONS = {
    (26, 26, 18): (LESIONS["both"], 10.0),
    (9, 30, 16): (LESIONS["anisotropy"], 10.0),
    (10, 13, 18): (LESIONS["restricted"], 9.0),
}
LEVELS = 0.125  # grey levels of the file for a signal of 1; grey matter has 1000 without diffusion weighting


def main(words: list[str] | None = None) -> None:
    """Write the sample, or healthy heads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--heads", type=int, default=0, help="write this many healthy heads instead of the sample")
    args = parser.parse_args(words)
    args.folder.mkdir(parents=True, exist_ok=True)
    for seed in range(1, args.heads + 1):
        write(args.folder, f"head{seed:02d}", simulated_head(GRADIENTS, seed=seed), "mask")
    if not args.heads:
        head = simulated_head(GRADIENTS, lesions=SAMPLE_LESIONS, seed=SEED)
        write(args.folder, "diffusion", head, "brain")
        _save(args.folder / "diffusion_label.nii.gz", head.lesions.astype(np.uint8), head.volume.affine)


def write(folder: Path, name: str, head: SimulatedHead, mask: str) -> None:
    """Write NAME.nii.gz with FSL's NAME.bval and NAME.bvec, and its brain mask NAME_{mask}.nii.gz."""
    measured, affine = head.volume.measurements, head.volume.affine
    assert measured is not None
    levels = np.rint(measured.values * LEVELS).clip(0, 255).astype(np.uint8) * head.brain[..., None]
    _save(folder / f"{name}.nii.gz", levels, affine)
    _save(folder / f"{name}_{mask}.nii.gz", head.brain.astype(np.uint8), affine)
    b, g = fsl_text(measured.gradients)
    (folder / f"{name}.bval").write_text(b, encoding="utf-8")
    (folder / f"{name}.bvec").write_text(g, encoding="utf-8")


def fsl_text(gradients: GradientTable) -> tuple[str, str]:
    """Return b-values and directions in FSL's convention, for an array in the order R, A, S along the scanner's axes.

    Such an array is right-handed, so the sign of the first component is reversed.
    """
    rows = (gradients.g * (-1, 1, 1)).T
    text = "\n".join(" ".join(f"{v + 0.0:.6f}" for v in row) for row in rows)
    return " ".join(f"{b:g}" for b in gradients.b_values) + "\n", text + "\n"


def _save(path: Path, voxels: NDArray, affine: NDArray) -> None:
    image = nib.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    print(f"{path}  {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
