"""How much restorations and scores vary, on clips of the tiny model."""

import numpy as np
import pytest
import torch

from napari_vqad.cli import main
from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.evaluate import ped2, spread
from napari_vqad.evaluate.metrics import rank
from napari_vqad.scores.pooling import pool

SETTINGS = Settings(n_restorations=4, pooling="2d")


@pytest.fixture(scope="module")
def bundle(tiny_clips):
    return Bundle.load(tiny_clips, "cpu")


@pytest.fixture
def cases(bundle, clip_folder):
    return list(ped2.clip_cases(clip_folder, "validation", bundle.config.grid))


def quiet(_line):
    pass


def test_it_is_measured_on_the_restorations_of_the_explorer(bundle, cases):
    found = spread.spread_of(bundle, cases, "light", 1.0, SETTINGS, (1, 2), quiet)
    chosen = {"method": "light", "lambda_p": 1.0, "score": "intensity", "n_restorations": 4, "pooling": "2d"}
    explorer = Explorer(bundle, Settings(**chosen))
    variances, singles, scores, truth = [], [], [], []
    for case in cases:
        explorer.load_grid(case.grid)
        explorer.finish()
        drawn = np.stack([explorer.map("restoration_j", j) for j in range(4)])
        variances.append(drawn.var(0, ddof=1)[case.grid.mask])
        scores.append(case.on_truth(explorer.map("pixel_score")))
        truth.append(case.truth[case.counted])
        alone = []
        for picture in drawn:  # a score of one restoration is its pooled residual
            residual = torch.from_numpy(np.abs(case.grid.slices - picture))
            alone.append(pool(residual, torch.from_numpy(case.grid.mask), "2d").numpy())
        singles.append(np.stack(alone).var(0, ddof=1)[case.grid.mask])
    assert found.restorations == pytest.approx(np.sqrt(np.concatenate(variances).mean()), rel=1e-4)
    assert found.scores[1] == pytest.approx(np.sqrt(np.concatenate(singles).mean()), rel=1e-4)
    assert found.ap == pytest.approx(rank(np.concatenate(scores), np.concatenate(truth)).ap)
    assert found.n == len(cases)
    low, high = spread.interval(found.rounds["restorations"])
    assert low <= found.restorations <= high


def test_nothing_varies_where_nothing_is_drawn(bundle, cases):
    found = spread.spread_of(bundle, cases, "light", 1e6, SETTINGS, (1,), quiet)
    assert (found.restorations, found.scores[1]) == (0, 0)


@pytest.mark.parametrize("sizes", [(0,), (3,)])
def test_scores_that_cannot_be_compared_are_refused(bundle, cases, sizes):
    with pytest.raises(InputError, match="made of 1 to 2 of them"):
        spread.spread_of(bundle, cases, "light", 1.0, SETTINGS, sizes, quiet)


def test_the_command_prints_ratios_to_the_first_row(tiny_clips, clip_folder, capsys):
    words = ["evaluate", "spread", tiny_clips, "--data", clip_folder, "--part", "validation", "--lambda-p", "p20"]
    words += ["-S", 4, "--sizes", 1, 2, "--device", "cpu", "--threads", 1, "--at-most", 2]
    assert main([str(w) for w in words]) == 0
    out = capsys.readouterr().out
    sequential, light = [line.split(" | ") for line in out.splitlines() if line.startswith("| tiny")]
    assert (sequential[1], light[1], sequential[4]) == ("sequential", "light", "–")
    of = [float(row[3].split(" ")[0]) for row in (sequential, light)]
    assert float(light[4].split(" ")[0]) == pytest.approx(of[1] / of[0], abs=0.1)  # of rounded SDs
    assert "2 subjects or runs of frames" in out


def test_a_model_without_codes_is_refused(tiny_vae):
    with pytest.raises(InputError, match="restores no codes"):
        spread.spread_of(Bundle.load(tiny_vae, "cpu"), [], "vae", 1.0, SETTINGS, (1,), quiet)
