"""Detectors other than the vector-quantised one: everything follows from what they declare."""

import json
import re

import nibabel as nib
import numpy as np
import pytest

import napari_vqad
from napari_vqad.cli import main
from napari_vqad.detectors import vae_restoration
from napari_vqad.detectors.bundle import Bundle, read_config
from napari_vqad.detectors.registry import detector_class
from napari_vqad.detectors.settings import Settings
from napari_vqad.display.columns import columns_of
from napari_vqad.display.readout import read_out
from napari_vqad.engine.explorer import Explorer
from napari_vqad.imaging.layout import to_grid
from napari_vqad.io.nifti import read_scan, write_map
from napari_vqad.train.data import SPLITS, Stack

LOW = "p50"  # so that something is flagged
MAPS = {
    "pca": ["restoration", "residual", "pixel_score", "flagged"],
    "histogram": ["residual", "pixel_score", "flagged"],
    "anogan": ["restoration", "restoration_j", "disagreement", "residual", "pixel_score", "flagged"],
    "vae-restoration": ["restoration", "residual", "pixel_score", "flagged"],
    "vae": ["restoration", "restoration_j", "disagreement", "residual", "pixel_score", "flagged"],
}
QUICK = {"search_steps": 3, "descent_steps": 12, "descent_rate": 0.1, "data_weight": 0.0}
ASKED = ("restoration_j", "disagreement")  # of a sample, or written when it is asked for
FITTED = ("pca", "histogram")  # by train detector


@pytest.fixture(params=MAPS)
def other(request, tiny_pca, tiny_histogram, tiny_vae, tiny_anogan, tiny_restoration):
    """Name and folder of a bundle."""
    folders = {"pca": tiny_pca, "histogram": tiny_histogram, "vae": tiny_vae, "anogan": tiny_anogan}
    return request.param, (folders | {"vae-restoration": tiny_restoration})[request.param]


def analysis(head, folder, **settings):
    volume, mask = head
    known = detector_class(read_config(folder).detector).Settings.model_fields
    quick = {name: value for name, value in QUICK.items() if name in known}
    chosen = Settings(flag_voxels=LOW, **quick, **settings)
    return napari_vqad.score(volume, mask=mask, bundle=folder, device="cpu", settings=chosen)


def test_an_analysis_writes_the_maps_that_there_are(head, other, tmp_path):
    name, folder = other
    result = analysis(head, folder)
    assert list(result.explorer.maps) == MAPS[name]
    result.save(tmp_path)
    assert {p.name for p in tmp_path.glob("*.nii.gz")} == {f"{m}.nii.gz" for m in MAPS[name] if m not in ASKED}
    numbers = napari_vqad.read_result(tmp_path / "result.json")
    assert numbers == json.loads(json.dumps(result.as_dict()))
    assert not {"lambda_s", "lambda_p", "method"} & set(numbers["settings"])
    assert ("k" in numbers["settings"]) == (name in ("vae", "anogan"))
    assert set(numbers["thresholds"]) == {"flag_voxels", "flag_slices"}
    assert numbers["findings"]
    assert all(not finding["evidence_peaks"] for finding in numbers["findings"])
    assert numbers["units"]["sample_scores"] == ("SD" if name == "anogan" else None)
    assert "nll" not in (tmp_path / "findings.csv").read_text().lower()
    page = re.sub(r"base64,[^\"']*", "", (tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "NLL" not in page
    assert "λ_p" not in page
    assert ("volume score" in page + result.summary()) == (name == "anogan")


def test_maps_of_another_detector_are_not_left_beside_the_new_ones(head, tiny_bundle, tiny_histogram, tmp_path):
    analysis(head, tiny_bundle, n_restorations=1).save(tmp_path)
    assert (tmp_path / "nll.nii.gz").exists()
    analysis(head, tiny_histogram).save(tmp_path)
    assert not (tmp_path / "nll.nii.gz").exists()
    assert not (tmp_path / "restoration.nii.gz").exists()


def test_a_study_brings_the_same_maps_back(head, other, tmp_path):
    _, folder = other
    result = analysis(head, folder)
    napari_vqad.save_study(tmp_path / "one.vqad", result.explorer, result.mask, result.mask_note)
    again = napari_vqad.open_study(tmp_path / "one.vqad", result.volume, bundle=folder, device="cpu").explorer
    for name in result.explorer.maps:
        np.testing.assert_array_equal(again.map(name), result.explorer.map(name), err_msg=name)


def test_a_study_is_refused_by_the_bundle_of_another_detector(head, other, tiny_bundle, tmp_path):
    _, folder = other
    result = analysis(head, folder)
    napari_vqad.save_study(tmp_path / "one.vqad", result.explorer, result.mask, result.mask_note)
    with pytest.raises(napari_vqad.InputError, match="other weights"):
        napari_vqad.open_study(tmp_path / "one.vqad", result.volume, bundle=tiny_bundle, device="cpu")


def test_the_readout_names_what_there_is(head, other):
    explorer = analysis(head, other[1]).explorer
    words = read_out(explorer, np.zeros(3))
    assert words.startswith("score ")
    assert "NLL" not in words


def test_maps_lie_in_the_scans_space_whatever_the_order_of_its_axes(head, other, tmp_path):
    _, folder = other
    image = nib.Nifti1Image(head[0].voxels, head[0].affine)
    turned = image.as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    maps = []
    for name, file in (("straight", image), ("turned", turned)):
        nib.save(file, tmp_path / f"{name}.nii.gz")
        volume = read_scan(tmp_path / f"{name}.nii.gz")
        write_map(tmp_path / f"{name}_residual.nii.gz", analysis((volume, head[1]), folder).map("residual"), volume)
        written = nib.load(tmp_path / f"{name}_residual.nii.gz")
        assert written.shape == file.shape
        np.testing.assert_allclose(written.affine, file.affine, atol=1e-4)
        maps.append(nib.as_closest_canonical(written).get_fdata())
    np.testing.assert_allclose(maps[1], maps[0], atol=2e-3)
    assert maps[0].max() > 0


def test_settings_of_another_detector_are_refused_in_a_sentence(other, case_folder, tmp_path, capsys):
    scan = str(case_folder / "case00_t1.nii.gz")
    words = ["score", scan, "--bundle", str(other[1]), "--device", "cpu", "-o", str(tmp_path / "out")]
    assert main([*words, "--lambda-p", "p80"]) == 2
    assert "has no setting --lambda-p" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_bright_and_dark_are_each_others_inverse(head, tiny_histogram):
    volume, mask = head
    explorer = Explorer(Bundle.load(tiny_histogram, "cpu"), Settings(lesions="bright"))
    explorer.load_scan(volume, mask)
    explorer.finish()
    bright, inside = explorer.map("residual"), explorer.grid.mask
    assert not explorer.change(Settings(lesions="dark")), "the histograms are kept"
    np.testing.assert_allclose(explorer.map("residual")[inside], 1 - bright[inside], atol=1e-6)
    assert bright[inside].mean() == pytest.approx(0.5, abs=0.02)


def test_the_residual_is_the_distance_from_the_projection(head, tiny_pca):
    explorer = analysis(head, tiny_pca).explorer
    expected = np.abs(explorer.grid.slices - explorer.map("restoration"))[explorer.grid.mask]
    np.testing.assert_allclose(explorer.map("residual")[explorer.grid.mask], expected, atol=1e-6)


def test_pictures_have_a_column_for_each_map(head, other):
    name, folder = other
    explorer = analysis(head, folder).explorer
    shown = [column.map for column in columns_of(explorer.maps) if column.map not in ASKED]
    assert shown == [None, *(m for m in MAPS[name] if m not in ASKED)]


def test_they_are_evaluated_as_the_others_are(other, case_folder, tmp_path, capsys, monkeypatch):
    name, folder = other
    descend = vae_restoration.descend  # of the default's 100 steps two are enough here
    monkeypatch.setattr(
        vae_restoration, "descend", lambda n, x, y, p, _steps, *rest, **k: descend(n, x, y, p, 2, *rest, **k)
    )
    out, pages = tmp_path / "rows.json", tmp_path / "pages"
    words = ["evaluate", "testset", case_folder, "--bundle", folder, "--device", "cpu"]
    assert main([str(w) for w in (*words, "--json", out, "--pictures", pages)]) == 0
    rows = {(r["method"], r["kind"]): r for r in json.loads(out.read_text())["rows"]}
    variants = ["dark", "bright"] if name == "histogram" else [name]
    own = ["sample-wise"] if name == "anogan" else []
    assert {method for method, _ in rows} == {*own, *variants}
    assert [p.name for p in sorted(pages.iterdir())] == [f"{v}-1.png" for v in sorted(variants)]
    if name == "histogram":  # the cube is bright
        assert rows["bright", "cube"]["voxels"]["auroc"] > 0.8 > 0.2 > rows["dark", "cube"]["voxels"]["auroc"]
    capsys.readouterr()
    assert main([str(w) for w in (*words, "--methods", "anchored")]) == 2
    assert f"its methods are {', '.join(own + variants)}" in capsys.readouterr().err


@pytest.mark.parametrize("kind", FITTED)
def test_trained_and_calibrated_by_the_commands(kind, head, tiny_bundle, tmp_path, capsys):
    """From a recipe to an analysis."""
    spec = Bundle.load(tiny_bundle, "cpu").config.grid
    data, out = tmp_path / "data", tmp_path / "models" / "mine"
    data.mkdir()
    for split in SPLITS:
        Stack.of([to_grid(*head, spec)] * 2, spec).save(data / f"{split}.npz")
    recipe = tmp_path / "mine.toml"
    extra = "n_components = 2\n" if kind == "pca" else ""
    grid = f"[grid]\nshape = {list(spec.shape)}\nspacing = {spec.spacing}\n"
    recipe.write_text(f'detector = "{kind}"\ntitle = "Mine"\ndescription = "Of this test."\n{extra}{grid}')
    options = ["--data", str(data), "--device", "cpu", "--threads", "1"]
    assert main(["train", "detector", "--config", str(recipe), "--out", str(out), *options]) == 0
    assert main(["calibrate", str(out), *options]) == 0
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "fitted in one go" in card
    assert "train detector --config mine" in card
    assert analysis(head, out).explorer.complete


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('title = "Mine"\ndescription = ""\n', "detector = one of pca, histogram"),
        ('detector = "vq"\ntitle = "Mine"\ndescription = ""\n', "detector = one of pca, histogram"),
        ('detector = "pca"\ntitle = "Mine"\ndescription = ""\nn_components = 0\n', "n_components"),
        ('detector = "histogram"\ntitle = "Mine"\ndescription = ""\nn_components = 5\n', "n_components"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(text, words, tmp_path, capsys):
    (tmp_path / "mine.toml").write_text(text)
    command = ["train", "detector", "--config", tmp_path / "mine.toml", "--out", tmp_path / "out", "--data", tmp_path]
    assert main([str(w) for w in command]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert len(told.strip().splitlines()) == 1
