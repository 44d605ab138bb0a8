import re

import numpy as np
import pytest

from napari_vqad.cli import main
from napari_vqad.evaluate.novelty_speed import UNWEIGHTED, simulated_voxels
from napari_vqad.scores.novelty.table import SCORES


def test_voxels_look_like_diffusion_measurements():
    voxels = simulated_voxels(2000, 46, np.random.default_rng(0))
    assert voxels.shape == (2000, 46)
    np.testing.assert_allclose(voxels.mean(0), 1, atol=1e-5)
    within = voxels[:, UNWEIGHTED:].std(1)
    assert np.median(within) > 2 * np.median(voxels[:, :UNWEIGHTED].std(1))  # directions differ by more than noise
    with pytest.raises(ValueError, match="seven measurements"):
        simulated_voxels(5, 6, np.random.default_rng(0))


def test_the_command_prints_a_row_for_each_score(capsys):
    sizes = ["--voxels", "50", "--reference", "60", "--measured", "10", "--measurements", "8", "--steps", "2"]
    assert main(["evaluate", "novelty-speed", *sizes, "--threads", "1", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "extrapolated from 10 voxels" in out
    for score in SCORES.values():
        row = next(line for line in out.splitlines() if line.startswith(f"| {score.equation or '–'} | {score.title} |"))
        assert len(re.findall(r"\d", row.split(score.symbol)[1])) > 2


def test_numbers_below_one_are_refused(capsys):
    assert main(["evaluate", "novelty-speed", "--measured", "0", "--threads", "1"]) != 0
    assert "must be 1 or more" in capsys.readouterr().err
