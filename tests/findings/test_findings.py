"""Findings in a patient's terms: on the right side and at the right place, whatever the order of the file."""

import csv
import io
import re
from dataclasses import replace
from itertools import permutations, product
from types import SimpleNamespace

import numpy as np
import pytest

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.detectors.vq.detector import VQDetector
from napari_vqad.engine.dependencies import Dependencies, evidence_maps
from napari_vqad.engine.explorer import Explorer
from napari_vqad.export.tables import COLUMNS, as_csv, as_rows
from napari_vqad.findings.findings import Evidence, findings
from napari_vqad.findings.review import Review
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.imaging.layout import to_grid
from napari_vqad.imaging.location import in_words
from napari_vqad.imaging.slice_numbers import numbers
from napari_vqad.imaging.volume import Volume

MAPS = Dependencies(VQDetector).maps
EVIDENCE = evidence_maps(MAPS)
SPEC = GridSpec(shape=(24, 28), spacing=4.0)
ORDERS = [(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]
PLACE = np.array([18.0, -10.0, 8.0])  # mm to the right, to the front, up


def scan_of(affine, shape=(20, 24, 18)):
    """A head about the origin with a bright block at `PLACE`, in an array of any axes: volume, brain, block."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1)
    mm = index @ affine[:3, :3].T + affine[:3, 3]
    brain = ((mm / [34, 40, 30]) ** 2).sum(-1) < 1
    block = (np.abs(mm - PLACE) < 6.5).all(-1)
    voxels = np.where(brain, 500 + 3 * mm[..., 0] + np.where(block, 400, 0), 0).astype(np.float32)
    volume = Volume.from_array(voxels, affine)
    return volume, *(Volume.from_array(a.astype(np.float32), affine).voxels > 0 for a in (brain, block))


def affine_of(order, signs, tilt=0.0, spacing=4.0):
    """An affine whose array has the canonical axes in this order and with these signs, turned by `tilt` degrees."""
    shape = np.array((20, 24, 18))
    step = np.zeros((3, 3))
    for axis, (canonical, sign) in enumerate(zip(order, signs, strict=True)):
        step[canonical, axis] = sign * spacing
    t = np.radians(tilt)
    turn = np.array([[np.cos(t), -np.sin(t), 0], [np.sin(t), np.cos(t), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ step
    affine[:3, 3] = -affine[:3, :3] @ ((shape - 1) / 2)
    return affine


def analysed(volume, grid, maps):
    """An explorer with these maps, all of them final."""
    every = np.ones(len(maps["flagged"]), bool)
    chosen, ready = lambda: every, lambda _name: every
    bundle, scale = SimpleNamespace(unit=lambda _scale: "SD"), lambda: "fused"
    known = {"maps": MAPS, "bundle": bundle, "scale": scale}
    return SimpleNamespace(scan=volume, grid=grid, map=maps.__getitem__, chosen=chosen, ready=ready, **known)


def explored(volume, brain, block):
    """As an explorer that has flagged the block."""
    grid = to_grid(volume, brain, SPEC)
    flagged = grid.from_scan(block) > 0
    maps = {"flagged": flagged.astype(np.uint8), "pixel_score": flagged * 2.0, "nll": flagged * 7.0}
    return analysed(volume, grid, maps)


@pytest.mark.parametrize(("order", "signs"), ORDERS, ids=lambda v: "".join(map(str, v)))
def test_on_the_right_side_in_all_48_orders(order, signs):
    (found,) = findings(explored(*scan_of(affine_of(order, signs))))
    assert found.side == "right"
    assert np.abs(found.centre - PLACE).max() <= 4.0
    assert found.where.startswith("R 1") or found.where.startswith("R 2")
    assert found.ml == pytest.approx(found.piece.voxels * 0.064)
    assert (found.peak, found.mean, found.evidence) == (2.0, 2.0, (Evidence("nll", "NLL", "nats", 7.0),))


def test_in_an_oblique_scan():
    (found,) = findings(explored(*scan_of(affine_of((2, 0, 1), (-1, 1, -1), tilt=12.0))))
    assert found.side == "right"
    assert np.abs(found.centre - PLACE).max() <= 4.0


def test_what_straddles_the_middle_is_on_neither_side():
    volume, brain, _ = scan_of(affine_of((0, 1, 2), (1, 1, 1)))
    middle = np.zeros(brain.shape, bool)
    middle[9:11, 10:13, 8:10] = True
    (found,) = findings(explored(volume, brain, middle))
    assert found.side == "midline"


def test_what_reaches_out_on_either_side_is_on_both():
    volume, brain, _ = scan_of(affine_of((0, 1, 2), (1, 1, 1)))
    bridge = np.zeros(brain.shape, bool)
    bridge[5:15, 10:13, 8:10] = True
    (found,) = findings(explored(volume, brain, bridge))
    assert found.side == "both"


def test_on_the_left():
    volume, brain, block = scan_of(affine_of((0, 1, 2), (1, 1, 1)))
    (found,) = findings(explored(volume, brain, block[::-1]))
    assert found.side == "left"
    assert found.centre[0] < 0


@pytest.mark.parametrize("axis", ["sagittal", "coronal"])
def test_in_other_stacks(axis):
    volume, brain, block = scan_of(affine_of((0, 1, 2), (1, 1, 1)))
    grid = to_grid(volume, brain, SPEC, axis)
    flagged = grid.from_scan(block) > 0
    maps = {"flagged": flagged.astype(np.uint8), "pixel_score": flagged * 2.0, "nll": flagged * 7.0}
    (found,) = findings(analysed(volume, grid, maps))
    assert found.side == "right"
    assert np.abs(found.centre - PLACE).max() <= 4.0


def test_the_centre_of_a_ring_lies_on_the_ring():
    volume, brain, _ = scan_of(affine_of((0, 1, 2), (1, 1, 1)))
    ring = np.zeros(brain.shape, bool)
    ring[4:9, 8:13, 8] = True
    ring[5:8, 9:12, 8] = False
    explorer = explored(volume, brain, ring)
    (found,) = findings(explorer)
    index = np.rint(np.linalg.inv(volume.affine) @ [*found.centre, 1])[:3].astype(int)
    assert ring[tuple(index)]


def test_rows_and_table_hold_the_same():
    found = findings(explored(*scan_of(affine_of((0, 1, 2), (1, 1, 1)))))
    review = Review()
    review.set_verdict(found[0], "rejected")
    review.set_note(found[0], 'vessel, "cut"; see scan 2')
    (row,) = as_rows(found, review)
    (read,) = csv.DictReader(io.StringIO(as_csv(found, review, EVIDENCE)))
    assert tuple(read) == tuple("nll_peak_nats" if name == "evidence_peaks" else name for name in COLUMNS)
    assert {k: str(v) for k, v in (dict(row) | {"nll_peak_nats": row["evidence_peaks"]["nll"]}).items()} == read | {
        "evidence_peaks": "{'nll': 7.0}"
    }
    assert (row["side"], row["number"]) == ("right", 1)
    assert (row["verdict"], row["note"]) == ("rejected", 'vessel, "cut"; see scan 2')
    assert as_csv([], review, EVIDENCE).strip() == ",".join(read)


def test_words():
    assert in_words((-32.4, 10.0, -5.6)) == "L 32 A 10 I 6 mm"
    assert in_words((-32.4, 10.0, -5.6), known=False) == "L? 32 A? 10 I? 6 mm"


CORNER = np.array([-130.0, 40.0, 70.0])  # added to a header's origin, so that its zero lies outside of the head


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (-1, -1, 1)])
def test_left_and_right_count_from_the_midline_and_not_from_the_headers_zero(signs):
    """As of a header whose origin is a corner: "right" never stands beside a letter L."""
    affine = affine_of((0, 1, 2), signs)
    (known,) = findings(explored(*scan_of(affine)))
    volume, brain, block = scan_of(affine)
    moved = np.eye(4)
    moved[:3, 3] = CORNER
    there = Volume(volume.voxels, moved @ volume.affine, moved @ volume.file_affine)
    (found,) = findings(explored(there, brain, block))
    assert (found.side, found.head[0]) == ("right", pytest.approx(known.head[0]))
    assert 14 <= found.head[0] <= 22
    assert found.where.startswith(f"R {found.head[0]:.0f} A ")
    np.testing.assert_allclose(found.centre, np.add(known.centre, CORNER), atol=1e-4)
    assert found.scanner.startswith("L 1")
    (row,) = as_rows([found], Review())
    assert (row["from_midline_mm"], row["r_mm"]) == (round(found.head[0], 1), round(found.centre[0], 1))


def test_the_side_is_unknown_where_the_scan_does_not_say():
    volume, brain, block = scan_of(affine_of((0, 1, 2), (1, 1, 1)))
    (found,) = findings(explored(replace(volume, side_known=False), brain, block))
    assert found.side == "unknown"
    assert re.match(r"R\? \d+ P\? \d+ S\? \d+ mm", found.where)


def test_slices_are_numbered_as_the_slider_numbers_them():
    explorer = explored(*scan_of(affine_of((0, 1, 2), (1, 1, 1))))
    (found,) = findings(explorer)
    number_of = numbers(explorer.grid)
    assert found.numbers == (number_of[found.slices[1]], number_of[found.slices[0]])
    (row,) = as_rows([found], Review())
    assert (row["first_slice"], row["last_slice"]) == found.numbers


@pytest.fixture(scope="module")
def explorer(tiny_bundle):
    bundle = Bundle.load(tiny_bundle, "cpu")
    explorer = Explorer(bundle, Settings(method="regenerative", flag_voxels=0.5, min_volume_ml=0.0))
    volume, brain, _ = scan_of(affine_of((0, 1, 2), (1, 1, 1)))
    explorer.load_scan(volume, brain)
    for _ in explorer.work():
        pass
    return explorer


def test_findings_are_the_pieces_of_what_is_flagged(explorer):
    explorer.change(Settings(method="regenerative", flag_voxels=0.5, min_volume_ml=0.0))
    found = findings(explorer)
    flagged = explorer.map("flagged")
    assert sum(f.piece.voxels for f in found) == flagged.sum() > 0
    assert [f.number for f in found] == list(range(1, len(found) + 1))
    assert sorted((f.piece.mass for f in found), reverse=True) == [f.piece.mass for f in found]


def test_small_ones_go(explorer):
    base = Settings(method="regenerative", flag_voxels=0.5, min_volume_ml=0.0)
    explorer.change(base)
    sizes = sorted(f.ml for f in findings(explorer))
    limit = (sizes[0] + sizes[-1]) / 2
    explorer.change(base.model_copy(update={"min_volume_ml": limit}))
    left = findings(explorer)
    assert 0 < len(left) <= len(sizes)
    assert all(f.ml >= limit - 0.033 for f in left)


@pytest.mark.parametrize("clean_up", [{"median": True}, {"erode_mm": 4.0}])
def test_clean_up_leaves_less(explorer, clean_up):
    base = Settings(method="regenerative", flag_voxels=0.5, min_volume_ml=0.0)
    explorer.change(base)
    before = explorer.map("flagged").copy()
    explorer.change(base.model_copy(update=clean_up))
    after = explorer.map("flagged")
    assert (after != before).any()
    if "erode_mm" in clean_up:
        assert not (after & ~before).any()
        assert after.sum() < before.sum()
