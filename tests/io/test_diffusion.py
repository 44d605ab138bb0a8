"""Diffusion scans: NIfTI of four axes with gradients in FSL's or MRtrix's convention."""

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest

from napari_vqad.errors import InputError
from napari_vqad.imaging.measurements import GradientTable
from napari_vqad.io.diffusion import read_diffusion
from napari_vqad.io.load import load_scan
from napari_vqad.io.nifti import read_scan

SHAPE = (6, 5, 4)
AXIS = np.array([0.8, 0.5, 0.33166248])  # of all tensors, in scanner space
TENSOR = 0.3e-3 * np.eye(3) + 1.4e-3 * np.outer(AXIS, AXIS)


def gradients(n: int = 20) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    g = rng.normal(size=(n + 1, 3))
    g /= np.linalg.norm(g, axis=1)[:, None]
    return np.r_[0.0, np.full(n, 1000.0)], g


def affine_of(order: tuple[int, ...], signs: tuple[int, ...], tilt: float = 0.0) -> np.ndarray:
    """Array axis k runs along scanner axis order[k], with 2, 2.5 and 3 mm."""
    turn = np.zeros((3, 3))
    for k, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        turn[axis, k] = sign
    c, s = np.cos(tilt), np.sin(tilt)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ turn @ np.diag([2.0, 2.5, 3.0])
    affine[:3, 3] = (-10, 20, 30)
    return affine


def write(folder, affine: np.ndarray, fsl: bool = True, name: str = "dwi"):
    """Write a field of one tensor, brighter to one corner, with gradients written by the documents' rules."""
    b, g = gradients()
    signal = np.exp(-b * np.einsum("ni,ij,nj->n", g, TENSOR, g))
    s0 = 500 + 10 * np.add.outer(np.add.outer(np.arange(SHAPE[0]), np.arange(SHAPE[1])), np.arange(SHAPE[2]))
    path = folder / f"{name}.nii.gz"
    nib.save(nib.Nifti1Image((s0[..., None] * signal).astype(np.float32), affine), path)
    if fsl:  # components along the array's axes; x reversed where the array is right-handed
        along = g @ (affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
        along[:, 0] *= -1 if np.linalg.det(affine[:3, :3]) > 0 else 1
        np.savetxt(folder / f"{name}.bval", b[None], fmt="%g")
        np.savetxt(folder / f"{name}.bvec", along.T)
    else:
        np.savetxt(folder / f"{name}.b", np.c_[g, b])
    return path


def principal(volume) -> np.ndarray:
    """The principal direction of the mean signal, in scanner space, by a linear fit of the logarithm."""
    m = volume.measurements
    signal = m.values.mean((0, 1, 2)).astype(float)
    b, g = m.gradients.b, m.gradients.g
    xx, yy, zz = g.T
    design = np.c_[-b[:, None] * np.c_[xx**2, yy**2, zz**2, 2 * xx * yy, 2 * xx * zz, 2 * yy * zz], np.ones(len(b))]
    d = np.linalg.lstsq(design, np.log(signal), rcond=None)[0]
    return np.linalg.eigh([[d[0], d[3], d[4]], [d[3], d[1], d[5]], [d[4], d[5], d[2]]])[1][:, -1]


@pytest.mark.parametrize("tilt", [0.0, 0.4])
@pytest.mark.parametrize("fsl", [True, False])
def test_the_direction_in_scanner_space_does_not_depend_on_the_order_of_the_axes(fsl, tilt, tmp_path):
    for number, (order, signs) in enumerate(product(permutations(range(3)), product((1, -1), repeat=3))):
        path = write(tmp_path, affine_of(order, signs, tilt), fsl, f"dwi{number}")
        assert abs(principal(read_diffusion(path)) @ AXIS) > 0.9999, (order, signs)


def test_fsls_file_is_the_same_for_an_array_that_is_reversed_along_x(tmp_path):
    """FSL keeps the file of directions when fslswapdim reverses x; they are those of the left-handed array."""
    for sign in (1, -1):
        path = write(tmp_path, np.diag([sign * 2.0, 2, 2, 1]), name=f"dwi{sign}")
        np.savetxt(path.with_name(f"dwi{sign}.bvec"), np.tile([[0.6], [0.8], [0.0]], (1, 21)))
        assert np.allclose(read_diffusion(path).measurements.gradients.g[1:], [-0.6, 0.8, 0.0], atol=1e-6)


def test_the_scan_is_canonical_and_its_anatomy_the_image_without_weighting(tmp_path):
    path = write(tmp_path, affine_of((2, 0, 1), (-1, 1, -1)))
    volume = load_scan(path)
    assert volume.voxels.shape == (5, 4, 6)
    assert volume.measurements.values.shape == (5, 4, 6, 21)
    assert np.array_equal(volume.voxels, volume.measurements.values[..., 0])
    assert np.allclose(volume.spacing, [2.5, 3, 2])
    assert volume.name == "dwi"
    assert np.array_equal(volume.to_file(volume.voxels), nib.load(path).get_fdata()[..., 0].astype(np.float32))


def test_gradients_may_be_called_as_fsl_does_in_a_folder_and_be_written_in_columns(tmp_path):
    path = write(tmp_path, affine_of((0, 1, 2), (-1, 1, 1)), name="data")
    before = read_diffusion(path).measurements.gradients
    rows = np.loadtxt(tmp_path / "data.bvec")
    (tmp_path / "data.bval").rename(tmp_path / "bvals")
    (tmp_path / "data.bvec").unlink()
    np.savetxt(tmp_path / "bvecs", rows.T)
    assert read_diffusion(path).measurements.gradients == before


def test_gradients_may_be_given(tmp_path):
    path = write(tmp_path, affine_of((0, 1, 2), (-1, 1, 1)))
    before = read_diffusion(path).measurements.gradients
    (tmp_path / "elsewhere").mkdir()
    b, g = (path.with_name(f"dwi.{end}").rename(tmp_path / "elsewhere" / f"x.{end}") for end in ("bval", "bvec"))
    assert load_scan(path, b_values=b, directions=g).measurements.gradients == before
    with pytest.raises(InputError, match="b-values of a diffusion scan are missing"):
        load_scan(path)


def test_a_direction_without_weighting_may_be_missing(tmp_path):
    path = write(tmp_path, affine_of((0, 1, 2), (-1, 1, 1)))
    rows = np.loadtxt(tmp_path / "dwi.bvec")
    rows[:, 0] = np.nan  # as dipy writes
    np.savetxt(tmp_path / "dwi.bvec", rows)
    assert read_diffusion(path).measurements.gradients.directions[0] == (0, 0, 0)


def _short(folder):
    np.savetxt(folder / "dwi.bval", np.zeros(20)[None])


def _nan(folder):
    image = nib.load(folder / "dwi.nii.gz")
    array = image.get_fdata().astype(np.float32)
    array[1, 2, 3, 7] = array[0, 0, 0, 7] = np.nan
    nib.save(nib.Nifti1Image(array, image.affine), folder / "dwi.nii.gz")


def _constant(folder):
    image = nib.load(folder / "dwi.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros((*SHAPE, 21), np.float32), image.affine), folder / "dwi.nii.gz")


BAD = {
    "no b-values": (lambda f: (f / "dwi.bval").unlink(), "has 21 images, and the b-values .* are missing: dwi.bval"),
    "no directions": (lambda f: (f / "dwi.bvec").unlink(), "has 21 images, and the directions .* are missing"),
    "short b-values": (_short, "dwi.bval is of 20 measurements and dwi.nii.gz has 21; they must agree"),
    "words": (lambda f: (f / "dwi.bval").write_text("0 thousand"), "dwi.bval holds something that is not a number"),
    "ragged": (lambda f: (f / "dwi.bvec").write_text("0 1\n0"), "dwi.bvec does not hold rows of equally many"),
    "empty": (lambda f: (f / "dwi.bvec").write_text(""), "dwi.bvec does not hold rows"),
    "four rows": (lambda f: np.savetxt(f / "dwi.bvec", np.ones((4, 21))), "has 4 rows of 21 numbers"),
    "negative b": (lambda f: np.savetxt(f / "dwi.bval", np.full((1, 21), -1.0)), "negative or not a number"),
    "all weighted": (lambda f: np.savetxt(f / "dwi.bval", np.full((1, 21), 700.0)), "the lowest b-value is 700"),
    "long directions": (lambda f: np.savetxt(f / "dwi.bvec", np.ones((3, 21))), "direction of length 1.73 .* 1000"),
    "NaN": (_nan, "has 2 values in 1 measurements that are not numbers"),
    "constant": (_constant, "is constant without diffusion weighting"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_files_are_one_sentence(what, tmp_path):
    path = write(tmp_path, affine_of((0, 1, 2), (-1, 1, 1)))
    spoil, words = BAD[what]
    spoil(tmp_path)
    with pytest.raises(InputError, match=words) as error:
        load_scan(path)
    assert str(error.value).count("\n") == 0


def test_a_scan_of_three_axes_has_no_gradients(tmp_path):
    path = write(tmp_path, np.eye(4))
    image = nib.load(path)
    nib.save(nib.Nifti1Image(image.get_fdata()[..., 0], image.affine), path)
    assert load_scan(path).measurements is None
    with pytest.raises(InputError, match="three dimensions; gradients belong"):
        load_scan(path, b_values=tmp_path / "dwi.bval")
    with pytest.raises(InputError, match="a diffusion scan has four dimensions"):
        read_diffusion(path)


def test_a_reader_of_three_axes_still_refuses_four(tmp_path):
    with pytest.raises(InputError, match="a scan has three dimensions"):
        read_scan(write(tmp_path, np.eye(4)))


def test_an_mrtrix_table_of_other_columns_is_refused(tmp_path):
    path = write(tmp_path, np.eye(4), fsl=False)
    np.savetxt(tmp_path / "dwi.b", np.ones((21, 3)))
    with pytest.raises(InputError, match="rows of 3 numbers; MRtrix writes x, y, z and b"):
        read_diffusion(path)


def test_the_gradients_of_a_scan_are_a_table(tmp_path):
    volume = read_diffusion(write(tmp_path, np.eye(4)))
    b, g = gradients()
    known = GradientTable.of(b, g)
    assert known.order_of(volume.measurements.gradients).tolist() == list(range(21))
