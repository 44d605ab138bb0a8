"""Padding is taken out of the grey values, whatever its value and shape; a background of a stripped brain is not."""

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread
from scipy import ndimage

from napari_vqad.errors import InputError
from napari_vqad.io.dicom_series import read_series
from napari_vqad.io.nifti import read_scan
from napari_vqad.io.padding import fill_padding

SHAPE = (44, 52, 40)
AFFINE = np.diag([-4.0, -4, 4, 1])
RNG = np.random.default_rng(0)
RADIUS = np.sqrt(sum((2.2 * (i - n / 2) / n) ** 2 for i, n in zip(np.indices(SHAPE), SHAPE, strict=True)))
BRAIN = RADIUS < 0.7
TISSUE = np.round(1000 * (1.2 - RADIUS) + RNG.normal(0, 40, SHAPE)).clip(60, 1800)
HEAD = np.where(RADIUS < 0.9, TISSUE, RNG.rayleigh(25, SHAPE).round()).astype(np.float32)
MIDDLE = np.hypot(*(2 * (np.indices(SHAPE)[i] + 0.5) / SHAPE[i] - 1 for i in (0, 1)))


def frame():
    inside = np.zeros(SHAPE, bool)
    inside[3:-3, 3:-3, 3:-3] = True
    return ~inside


def corners():
    near = [np.minimum(np.indices(SHAPE)[i], SHAPE[i] - 1 - np.indices(SHAPE)[i]) for i in (0, 1)]
    return (near[0] < 6) & (near[1] < 6)


def side():
    return np.indices(SHAPE)[0] < 4


RIMS = {"cylinder": MIDDLE > 1, "frame": frame(), "corners": corners(), "side": side()}


@pytest.mark.parametrize("value", [-32768, -3024, -2000, -1024, -500, 4095, 32767])
@pytest.mark.parametrize("rim", RIMS)
def test_a_rim_of_padding_gets_the_lowest_value_of_the_rest(rim, value):
    rim = RIMS[rim]
    array, note = fill_padding(np.where(rim, np.float32(value), HEAD))
    np.testing.assert_array_equal(array, np.where(rim, HEAD[~rim].min(), HEAD))
    assert note == (
        f"{rim.sum()} voxels ({rim.mean():.1%}) are padding ({value}) and now have the scan's lowest value."
    )


def test_two_values_of_padding_are_both_taken_out():
    padded = np.where(MIDDLE > 1, np.float32(-1024), HEAD)
    padded = np.where(corners(), np.float32(4095), padded)
    array, note = fill_padding(padded)
    rim = (MIDDLE > 1) | corners()
    np.testing.assert_array_equal(array, np.where(rim, HEAD[~rim].min(), HEAD))
    assert "(-1024 and 4095)" in note


def test_padding_that_was_rounded_or_interpolated_is_taken_out_with_its_edge():
    noisy = np.where(MIDDLE > 1, -2000 + RNG.normal(0, 1e-4, SHAPE), HEAD).astype(np.float32)
    assert fill_padding(noisy)[0].min() == HEAD[MIDDLE <= 1].min()
    turned = ndimage.rotate(HEAD, 12, axes=(0, 1), order=1, cval=-1024).astype(np.float32)
    assert turned.min() == -1024
    array, note = fill_padding(turned)
    assert array.min() >= 0
    expected = ndimage.rotate(HEAD, 12, axes=(0, 1), order=1, cval=0)
    assert np.abs(array - expected).max() < 150  # at the edge, the mixture of air and what took the padding's place
    assert "padding (-1024)" in note


def stripped():
    """Backgrounds of stripped brains, as BraTS, nnU-Net and others write them."""
    inside = HEAD[BRAIN]
    score = (HEAD - inside.mean()) / inside.std()
    unit = (HEAD - inside.min()) / np.ptp(inside)
    flair = inside.max() + inside.min() - HEAD
    yield "0", HEAD, 0
    yield "z-scored, 0", score, 0
    yield "z-scored, below all", score, score[BRAIN].min() - 0.01
    yield "z-scored, −9", score, -9
    yield "unit, −1", unit, -1
    yield "offset, 0", HEAD + 800, 0
    yield "another contrast", flair, 0
    yield "another contrast, −500", flair, -500


@pytest.mark.parametrize(("name", "grey", "background"), list(stripped()), ids=[s[0] for s in stripped()])
def test_the_background_of_a_stripped_brain_is_left_alone(name, grey, background):
    array = np.where(BRAIN, grey, background).astype(np.float32)
    kept, note = fill_padding(array)
    np.testing.assert_array_equal(kept, array)
    assert not note


def test_whole_heads_labels_and_spikes_are_left_alone():
    spike = HEAD.copy()
    spike[2, 2, 2] = 3e38
    deep = HEAD.copy()
    deep[20:24, 20:24, 20:24] = -2000  # not at a face: it may be a clip, or a void
    labels = np.where(BRAIN, 1 + np.indices(SHAPE)[0] // 15, 0)
    saturated = HEAD.clip(0, 700)
    for array in (HEAD, spike, deep, labels, saturated, 1800 - HEAD):
        array = array.astype(np.float32)
        kept, note = fill_padding(array)
        np.testing.assert_array_equal(kept, array)
        assert not note


def test_a_nifti_with_padding_is_told(tmp_path):
    rim = MIDDLE > 1
    nib.save(nib.Nifti1Image(np.where(rim, -1024, HEAD).astype(np.int16), AFFINE), tmp_path / "scan.nii")
    volume = read_scan(tmp_path / "scan.nii")
    np.testing.assert_array_equal(volume.to_file(volume.voxels), np.where(rim, HEAD[~rim].min(), HEAD))
    assert "padding (-1024)" in volume.notes[0]


@pytest.fixture
def padded(make_series, tmp_path):
    """Stored values, and tags by keyword → the volume that is read of them."""

    def read(stored, **tags):
        folder = make_series(tmp_path / "scan", np.zeros(stored.shape, np.uint16), AFFINE)
        for k, path in enumerate(sorted(folder.iterdir())):
            image = dcmread(path)
            image.PixelData = stored[..., k].T.astype("<i2").tobytes()
            image.PixelRepresentation = 1
            for keyword, value in tags.items():
                if isinstance(value, tuple):
                    image.add_new(keyword, *value)
                else:
                    setattr(image, keyword, value)
            image.save_as(path)
        return read_series(folder)

    return read


INNER = (RADIUS > 0.2) & (RADIUS < 0.25)  # nothing but its declaration tells it from tissue


@pytest.mark.parametrize("value", [("SS", -2000), ("US", 63536)])
def test_padding_that_dicom_declares_is_of_the_stored_values(padded, value):
    stored = np.where(INNER, -2000, HEAD)
    volume = padded(stored, PixelPaddingValue=value, RescaleSlope=0.5, RescaleIntercept=100)
    expected = np.where(INNER, HEAD[~INNER].min(), HEAD) * 0.5 + 100
    np.testing.assert_array_equal(volume.to_file(volume.voxels), expected)
    assert volume.notes == (
        f"{INNER.sum()} voxels ({INNER.mean():.1%}) are padding (-900) and now have the scan's lowest value.",
    )


def test_a_range_of_padding(padded):
    stored = np.where(INNER, -2000 + np.indices(SHAPE)[0], HEAD)
    volume = padded(stored, PixelPaddingValue=("SS", -2000), PixelPaddingRangeLimit=("SS", -1900))
    np.testing.assert_array_equal(volume.to_file(volume.voxels), np.where(INNER, HEAD[~INNER].min(), HEAD))


def test_padding_is_dark_where_bright_is_stored_as_dark(padded):
    stored = np.where(INNER, -2000, HEAD)
    volume = padded(stored, PixelPaddingValue=("SS", -2000), PhotometricInterpretation="MONOCHROME1")
    turned = HEAD[~INNER].max() + HEAD[~INNER].min() - HEAD
    np.testing.assert_array_equal(volume.to_file(volume.voxels), np.where(INNER, turned[~INNER].min(), turned))


def test_padding_that_is_declared_and_not_there_changes_nothing(padded):
    volume = padded(HEAD, PixelPaddingValue=("SS", -2000))
    np.testing.assert_array_equal(volume.to_file(volume.voxels), HEAD)
    assert not volume.notes


def test_padding_that_dicom_does_not_declare_is_found(padded):
    volume = padded(np.where(MIDDLE > 1, -2000, HEAD))
    assert volume.voxels.min() == HEAD[MIDDLE <= 1].min()
    assert "padding (-2000)" in volume.notes[0]


def test_nothing_but_padding_is_refused(padded):
    with pytest.raises(InputError, match="nothing but padding"):
        padded(np.full(SHAPE, -2000), PixelPaddingValue=("SS", -2000))


def test_real_scans_are_left_alone(shared_data):
    for name in ("lesions/ms07_t1", "lesions/lgg_6690_flair", "lesions/brats13_1_t1c", "oasis_t1_1mm/1000_SS"):
        assert not read_scan(shared_data / f"{name}.nii.gz").notes
