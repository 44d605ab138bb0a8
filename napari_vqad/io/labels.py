"""Tells scans from label volumes: masks, segmentations and atlases."""

from __future__ import annotations

import re

import numpy as np

from napari_vqad.imaging.volume import Volume

INTENTS = (1002, 1005)  # NIfTI's codes for labels and for names of brain structures
NAMES = re.compile(
    r"(^|[^a-z])(label|labels|seg|segmentation|dseg|mask|brainmask|roi|rois|lesion|lesions|gold|truth|parc|parcellation|"
    r"aparc|aseg|atlas|tissue)s?([^a-z]|$)"
)
FEW = 32  # distinct values; a scan has more, even in 8 bits
SEVERAL = 4096  # most distinct values of an atlas
ALIKE = 0.5  # least share of equal neighbours among labelled voxels; in a scan, noise makes it smaller
SURELY = 0.9  # above this share it is a segmentation, whatever its name and number of values


def holds_labels(volume: Volume) -> bool:
    """Say whether a volume holds labels, judged by its header, name and values.

    Labels are whole numbers from zero up that form regions: most neighbours of a labelled voxel have the same label.
    A volume with at most two distinct values counts as a mask.
    """
    values = np.unique(volume.voxels)
    if len(values) <= 2:
        return True
    if values[0] < 0 or len(values) > SEVERAL or not np.array_equal(values, np.rint(values)):
        return False
    alike, marked = _alike(volume.voxels), bool(NAMES.search(volume.name.lower()))
    intent = int(volume.header["intent_code"]) if _has_intent(volume.header) else 0
    if intent in INTENTS or alike >= SURELY:
        return True
    return alike >= ALIKE and (marked or len(values) <= FEW)


def _alike(voxels: np.ndarray) -> float:
    """Compute the share of neighbour pairs with equal values, among pairs of nonzero voxels."""
    same = pairs = 0
    for axis in range(3):
        a, b = np.moveaxis(voxels, axis, 0)[:-1], np.moveaxis(voxels, axis, 0)[1:]
        within = (a != 0) & (b != 0)
        pairs += int(within.sum())
        same += int((within & (a == b)).sum())
    return same / pairs if pairs else 1.0


def _has_intent(header: object) -> bool:
    return hasattr(header, "keys") and "intent_code" in header.keys()  # noqa: SIM118  # a NIfTI header is not a dict
