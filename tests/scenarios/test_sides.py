"""The patient's right stays right: from a NIfTI in any of the 48 orders, or oblique, to viewer, table, files and study.

Of DICOM, in and out, tests/io/test_dicom.py and tests/io/test_dicom_out.py say the same.
"""

import csv
import io
import re
from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from matplotlib.text import Text

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.dependencies import evidence_maps
from napari_vqad.engine.explorer import Explorer
from napari_vqad.export import figures
from napari_vqad.export.contact_sheet import choose_slices
from napari_vqad.export.report import report_html
from napari_vqad.export.study import open_study, save_study
from napari_vqad.export.tables import as_csv
from napari_vqad.findings.findings import findings
from napari_vqad.findings.review import Review
from napari_vqad.imaging.location import in_words, scanner_mm
from napari_vqad.io.nifti import read_scan, write_map
from napari_vqad.scoring import Result

ORDERS = [(order, signs, 0.0) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]
OBLIQUE = [((2, 0, 1), (-1, 1, -1), 12.0)]
PLACE = np.array([18.0, -10.0, 8.0])  # mm to the right, to the front, up
SHAPE, SPACING = np.array((20, 24, 18)), 4.0
SETTINGS = Settings(method="regenerative", pooling="none", score="plain", min_volume_ml=0.0)


def write_scan(path, order, signs, tilt):
    """A head about the scanner's middle with a bright block at `PLACE`; the file's axes in this order, these signs."""
    step = np.zeros((3, 3))
    for axis, (canonical, sign) in enumerate(zip(order, signs, strict=True)):
        step[canonical, axis] = sign * SPACING
    c, s = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ step
    affine[:3, 3] = -affine[:3, :3] @ ((SHAPE - 1) / 2)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), -1)
    mm = index @ affine[:3, :3].T + affine[:3, 3]
    brain = ((mm / [34, 40, 30]) ** 2).sum(-1) < 1
    block = (np.abs(mm - PLACE) < 6.5).all(-1)
    nib.save(nib.Nifti1Image(np.where(brain, 500 + 3 * mm[..., 0] + 4000 * block, 0).astype(np.float32), affine), path)


@pytest.fixture
def analysed(tiny_bundle, tmp_path, request):
    """A file in the order asked for, analysed with the threshold where the block alone is flagged."""
    path = tmp_path / "scan.nii.gz"
    write_scan(path, *request.param)
    volume = read_scan(path)
    explorer = Explorer(Bundle.load(tiny_bundle, "cpu"), SETTINGS)
    mask = volume.voxels > 0
    explorer.load_scan(volume, mask)
    for _ in explorer.work():
        pass
    half = 0.6 * float(explorer.map("pixel_score").max())
    explorer.change(SETTINGS.model_copy(update={"flag_voxels": half}))
    return Result(explorer, volume, mask, "As given.")


def is_there(mm):
    return np.abs(np.asarray(mm) - PLACE).max() <= 6.0


@pytest.mark.parametrize("analysed", ORDERS + OBLIQUE, indirect=True, ids=lambda p: "".join(map(str, p[0] + p[1])))
def test_on_the_patients_right_everywhere(analysed, tmp_path):
    explorer, volume = analysed.explorer, analysed.volume
    (found,) = findings(explorer)
    assert found.side == "right"
    assert is_there(found.centre)

    (row,) = csv.DictReader(io.StringIO(as_csv([found], Review(), evidence_maps(explorer.maps))))
    assert row["side"] == "right"
    assert is_there([float(row[name]) for name in ("r_mm", "a_mm", "s_mm")])

    write_map(tmp_path / "flagged.nii.gz", analysed.map("flagged"), volume)
    written, scan = nib.load(tmp_path / "flagged.nii.gz"), nib.load(volume.path)
    np.testing.assert_array_equal(written.affine, scan.affine)
    at = np.argwhere(np.asarray(written.dataobj) > 0).mean(0)
    assert is_there(written.affine[:3, :3] @ at + written.affine[:3, 3])
    assert np.asarray(scan.dataobj)[np.asarray(written.dataobj) > 0].min() > 3000  # the block, and nothing else
    again = read_scan(tmp_path / "flagged.nii.gz")  # round trip
    np.testing.assert_array_equal(again.voxels > 0, analysed.map("flagged") > 0)

    _on_the_left_of_the_picture(explorer)

    save_study(tmp_path / "one.vqad", explorer, analysed.mask, analysed.mask_note)
    study = open_study(tmp_path / "one.vqad", bundle=explorer.bundle)
    (same,) = findings(study.explorer)
    assert (same.side, same.centre) == (found.side, found.centre)


def _on_the_left_of_the_picture(explorer):
    """As napari's layer places it: the world is −(S, A, R), and the camera's default has small x on the left."""
    from napari.layers import Image

    from napari_vqad.ui.layers import placement

    grid = explorer.grid
    layer = Image(placement.to_canvas(grid.to_display(explorer.map("flagged"), order=0)), **placement.placed_on(grid))
    world = np.array([layer.data_to_world(i) for i in np.argwhere(np.asarray(layer.data) > 0)]).mean(0)
    expected = placement.world_of(explorer.scan, tuple(PLACE))
    np.testing.assert_allclose(world, expected, atol=6.0)
    assert world[2] < -6.0


@pytest.mark.parametrize(
    "analysed", [ORDERS[5], ORDERS[26], *OBLIQUE], indirect=True, ids=("one", "another", "oblique")
)
def test_and_in_the_report(analysed):
    html = report_html(analysed.explorer, analysed.as_dict(), Review())
    (found,) = findings(analysed.explorer)
    assert f"right, {found.where}" in html


STRAIGHT = ((0, 1, 2), (1, 1, 1), 0.0)
NUDGED = ((0, 1, 2), (1, 1, 1), 0.3)  # less than half a mm at the scan's corners: nobody reads that
TURNED = ((2, 0, 1), (-1, 1, -1), 12.0)


@pytest.mark.parametrize("analysed", [STRAIGHT, NUDGED, TURNED], indirect=True, ids=("straight", "nudged", "oblique"))
def test_millimetres_of_slices_are_the_scanners_or_said_to_be_the_scans_own(analysed, tmp_path, monkeypatch):
    """In the sheet, the report with its plot, and the numbers; from a saved study, too."""
    save_study(tmp_path / "one.vqad", analysed.explorer, analysed.mask, analysed.mask_note)
    study = open_study(tmp_path / "one.vqad", bundle=analysed.explorer.bundle)
    oblique = analysed.volume.axcodes != ("R", "A", "S")  # of these three
    drawn = []
    monkeypatch.setattr(figures, "_png", lambda figure: drawn.append(figure) or b"")
    for result in (analysed, Result(study.explorer, study.volume, study.mask, "")):
        explorer = result.explorer
        explorer.change(explorer.settings.model_copy(update={"flag_slices": 0.0, "lambda_s": 0.0}))
        grid = explorer.grid
        pattern = r"[+−]\d+ mm" if oblique else r"[SI] \d+ mm"
        assert all(re.fullmatch(pattern, grid.slice_label(i)) for i in range(len(grid)))
        if not oblique:  # the scanner's own coordinate of the slice's middle
            middle = (np.array(grid.slices.shape) - 1) / 2
            for i in (0, len(grid) - 1):
                ras = scanner_mm(result.volume, grid, np.array([i, *middle[1:]]))
                assert in_words(ras).endswith(grid.slice_label(i))
        words = [t.get_text() for t in result.sheet().findobj(Text)]
        assert sum(bool(re.fullmatch(pattern, w)) for w in words) == len(choose_slices(explorer))
        assert any("mm along the scan's own axis" in w for w in words) == oblique
        html = report_html(explorer, result.as_dict(), Review())
        assert re.search(rf"the highest, slice \d+, {pattern}: ", html)
        assert ("(mm along the scan&#x27;s own axis)" in html) == oblique
        drawn.clear()
        figures.draw_profile(explorer)
        assert drawn[0].axes[0].get_xlabel() == ("S−I, mm along the scan's own axis" if oblique else "S−I, mm")
        unit = "mm along the scan's own axis" if oblique else "mm of the scanner"
        assert result.as_dict()["units"]["slice_mm"] == unit
