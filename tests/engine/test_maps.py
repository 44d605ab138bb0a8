"""Maps are made anew where something changed, and nowhere else; slice by slice they are what the equations say."""

import numpy as np
import pytest
import torch

from napari_vqad.detectors.settings import Settings
from napari_vqad.detectors.vq.detector import VQDetector
from napari_vqad.detectors.vq.maps import SliceMaps
from napari_vqad.engine.dependencies import Dependencies
from napari_vqad.engine.maps import MapInputs, Maps
from napari_vqad.engine.slice_maps import StageInputs
from napari_vqad.engine.store import StageResults
from napari_vqad.nets.vq.levels import CodeLevels
from napari_vqad.scores import weighting as cs
from napari_vqad.scores.normative import NormativeMaps
from napari_vqad.scores.pooling import pool, sum_of_minima

N, S, H, W = 9, 4, 12, 10


MAPS = list(Dependencies(VQDetector).maps)


class WithoutNetworks(VQDetector):
    """The declarations and maps of the detector."""

    def __init__(self):
        self._slice_maps = SliceMaps(CodeLevels((2, 2)))


class Scan:
    """A scan on a grid of its own, with random restorations of some of its slices."""

    def __init__(self, done=range(N)):
        rng = np.random.default_rng(0)
        mask = rng.random((N, H, W)) > 0.2
        slices = rng.normal(size=(N, H, W)).astype(np.float32)
        about = {"slices": slices, "mask": mask, "spacing": 2.0, "voxel_ml": 0.008, "kind": "head"}
        self.grid = type("Grid", (), {**about, "__len__": lambda _self: N})()
        self.results = {name: StageResults(N) for name in ("nll", "restoration", "decode")}
        self.difference = rng.normal(size=(N, S, H, W)).astype(np.float16)
        for i in done:
            self.add(i)
        self.maps = Maps(self.grid, WithoutNetworks(), NormativeMaps.none())
        for i, nll in enumerate(rng.random((N, 1, 2, 2)).astype(np.float32)):
            self.results["nll"].add(i, {"nll": nll})

    def add(self, i):
        self.results["restoration"].add(i, {"codes": np.zeros((S, 2, 2), np.int16)})
        self.results["decode"].add(i, {"difference": self.difference[i]})

    def inputs(self, s=S, limit=0.5, **settings):
        stages = StageInputs(self.results, {"nll": 1, "restoration": s, "decode": s}, Settings(**settings))
        return MapInputs(stages, "anchored", limit)

    def get(self, name, s=S, limit=0.5, j=0, **settings):
        return self.maps.get(name, self.inputs(s, limit, **settings), j)

    def expected(self, s=S, k=3.0, pooling="smooth", distance="mean", paper_faithful=False):
        mask = torch.from_numpy(self.grid.mask)
        r = cs.residual(torch.from_numpy(self.difference[:, :s]))
        w = cs.weights(cs.distance(r, mask, distance, paper_faithful), k, paper_faithful)
        residual = cs.consolidate(w, r) * mask
        summed = residual
        if pooling == "2d-each":
            each = zip(w, r, mask, strict=True)
            summed = torch.stack([sum_of_minima(*of_slice, paper_faithful) for of_slice in each])
        return residual.numpy(), pool(summed, mask, pooling, paper_faithful).numpy(), w


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"k": 0.5},
        {"pooling": "2d"},
        {"pooling": "2d-each"},
        {"pooling": "3d"},
        {"pooling": "none"},
        {"distance": "sum"},
        {"paper_faithful": True},
        {"s": 2},
    ],
)
def test_whatever_slider_moved_the_maps_are_those_of_the_equations(change):
    scan = Scan()
    scan.get("pixel_score")  # of other settings, so that something is there to be changed
    residual, score, weights = scan.expected(**change)
    np.testing.assert_allclose(scan.get("residual", **change), residual, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scan.get("pixel_score", **change), score, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(scan.get("flagged", **change), scan.get("pixel_score", **change) > 0.5)
    s = change.get("s", S)
    given = {k: v for k, v in change.items() if k != "s"}
    kept = scan.inputs(s, 0.0, **given)
    np.testing.assert_allclose(scan.maps.weights(kept), weights.numpy().T, rtol=1e-4)
    mean = cs.consolidate(weights, torch.from_numpy(scan.difference[:, :s])).numpy()
    np.testing.assert_allclose(scan.get("restoration", **change), scan.grid.slices - mean, rtol=1e-4, atol=1e-5)
    apart = cs.disagreement(torch.from_numpy(scan.difference[:, :s])).numpy() * scan.grid.mask
    np.testing.assert_allclose(scan.get("disagreement", **change), apart, rtol=1e-4, atol=1e-5)
    of_slice = scan.maps.of_slice(kept, 3)
    np.testing.assert_allclose(of_slice.weights, weights[3].numpy(), rtol=1e-4)
    np.testing.assert_allclose(of_slice.pictures, scan.grid.slices[3] - scan.difference[3, :s], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(of_slice.mean, scan.grid.slices[3] - mean[3], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(of_slice.disagreement * scan.grid.mask[3], apart[3], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", MAPS)
def test_the_same_array_while_nothing_changes(name):
    scan = Scan()
    first = scan.get(name)
    assert scan.get(name) is first
    assert not first.flags.writeable
    scan.get("pixel_score", k=1.0)
    np.testing.assert_array_equal(scan.get(name), first)


@pytest.mark.parametrize("pooling", ["none", "2d", "3d", "smooth"])
def test_slices_that_come_one_by_one_give_the_whole_in_the_end(pooling):
    scan = Scan(done=[4])
    alone = scan.get("pixel_score", pooling=pooling)
    assert np.flatnonzero(alone.any((1, 2))).tolist() == [4]
    mask = torch.from_numpy(scan.grid.mask)
    residual = torch.from_numpy(scan.expected()[0])
    np.testing.assert_allclose(
        alone[4], pool(residual[4:5], mask[4:5], pooling)[0].numpy(), rtol=1e-4, atol=1e-5
    )  # pooled without its neighbours, not dimmed by them
    for i in (5, 3, 0, 8, 1, 2, 7, 6):
        scan.add(i)
        scan.get("pixel_score", pooling=pooling)
    np.testing.assert_allclose(
        scan.get("pixel_score", pooling=pooling), scan.expected(pooling=pooling)[1], rtol=1e-4, atol=1e-5
    )


def test_more_restorations_wanted_than_there_are_leave_nothing():
    scan = Scan()
    assert scan.get("pixel_score").any()
    for name in ("pixel_score", "residual", "restoration", "disagreement", "flagged"):
        assert not scan.get(name, s=S + 1).any()
    assert scan.maps.of_slice(scan.inputs(S + 1, 0.0), 3) is None
    np.testing.assert_allclose(scan.get("pixel_score"), scan.expected()[1], rtol=1e-4, atol=1e-5)


def test_one_restoration():
    scan = Scan(done=[2])
    shown = scan.get("restoration_j", j=3)
    np.testing.assert_allclose(shown[2], scan.grid.slices[2] - scan.difference[2, 3])
    assert not np.delete(shown, 2, 0).any()


def test_an_unknown_map():
    with pytest.raises(KeyError):
        Scan().get("nothing")


def test_what_lies_mostly_outside_of_the_templates_brain_is_not_flagged():
    """A piece within, one outside, and one that reaches out with less than half of it."""
    from napari_vqad.imaging.template import Template

    shares = np.zeros((H, W, N), np.float32)  # (R, A, S)
    shares[:, :6] = 1.0
    template = Template(shares, shares, 2.0, np.zeros(5), 0.0, 1.0)
    scan = Scan()
    scan.grid.aligned = True
    scan.maps = Maps(scan.grid, WithoutNetworks(), NormativeMaps.none(), template=template)
    flagged = np.zeros((N, H, W), np.float32)
    flagged[1, 1, 1:4] = flagged[4, 5, 6:10] = flagged[7, 8, 3:8] = 1.0
    scan.maps.get = lambda name, kept, j=0: flagged if name == "cleaned" else None
    kept = scan.inputs(min_volume_ml=0.0)
    found = scan.maps._make("flagged", kept)
    assert (found[1].sum(), found[4].sum(), found[7].sum()) == (3, 0, 5)
    scan.grid.aligned = False  # where places mean nothing, nothing is left out
    loose = Maps(scan.grid, WithoutNetworks(), NormativeMaps.none(), template=template)
    loose.get = scan.maps.get
    assert loose._make("flagged", kept).sum() == 12
