"""Is a volume a scan, or does it hold labels: a mask, a segmentation, an atlas?"""

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
SEVERAL = 4096  # of an atlas
ALIKE = 0.5  # of neighbours within what is labelled; noise leaves fewer in a scan
SURELY = 0.9  # a segmentation, whatever it is called and however many values it has


def holds_labels(volume: Volume) -> bool:
    """Does it hold labels, by its header, its name and its values?

    Labels are whole numbers from zero up, in areas: next to a labelled voxel lies, as a rule, one with the same label.
    What has two values alone is a mask, whatever these are.
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
    """The share of neighbours with equal values, among pairs of which neither is zero."""
    same = pairs = 0
    for axis in range(3):
        a, b = np.moveaxis(voxels, axis, 0)[:-1], np.moveaxis(voxels, axis, 0)[1:]
        within = (a != 0) & (b != 0)
        pairs += int(within.sum())
        same += int((within & (a == b)).sum())
    return same / pairs if pairs else 1.0


def _has_intent(header: object) -> bool:
    return hasattr(header, "keys") and "intent_code" in header.keys()  # noqa: SIM118  # a NIfTI header is no dict
