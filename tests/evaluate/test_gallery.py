"""Galleries: which picture stands where, in which colours, and the command."""

import numpy as np
import pytest
from matplotlib.image import imread

from napari_vqad.cli import main
from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.display.colours import ALERT
from napari_vqad.display.slice_picture import PictureStyle, SlicePicture
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.evaluate import gallery, ped2
from napari_vqad.evaluate.gallery import GalleryBlock, GalleryRow, Scale, draw, row_of, shared_out
from napari_vqad.evaluate.restoration_steps import write
from napari_vqad.evaluate.scan_input import index_of
from napari_vqad.imaging.grid import Grid
from napari_vqad.io.nifti import write_map

SIZE = (20, 30)
HEADS = ["Input", "Label", "Regeneration", "Restoration 1", "Residual 1", "Restoration 2", "Residual 2", "Pixel score"]


def run(*words):
    return main([str(w) for w in ("evaluate", "gallery", *words, "--device", "cpu", "--threads", 1)])


def a_row(title="frame 0", restorations=(1.0, 2.0), level=0.0, label=True, score=0.0):
    """A frame of one grey value, with restorations of one grey value each."""
    scan, mask = np.full((1, *SIZE), level, np.float32), np.ones((1, *SIZE), bool)
    grid = Grid.of_slices(scan, mask, np.zeros(1, np.float32), 1.0, kind="clip")
    abnormal = np.zeros(SIZE, bool)
    abnormal[5:15, 5:15] = True
    return GalleryRow(
        title,
        SlicePicture(grid, 0, PictureStyle()),
        scan[0],
        np.full(SIZE, -1.0),
        tuple(np.full(SIZE, value) for value in restorations),
        np.full(SIZE, score),
        abnormal if label else None,
    )


def a_block(*rows, title="A model: light", top=2.0):
    return GalleryBlock(title, rows, Scale(top, "SD of healthy intensity"), Scale(top, "SD of healthy intensity"))


def table_of(figure):
    """The panels by their place: rows from the top, in each the axes from left to right; without the colour bars."""
    rows = {}
    for axes in figure.axes[:-2]:
        x0, y0, _, _ = axes.get_position().bounds
        rows.setdefault(round(-y0, 4), []).append((x0, axes))
    return [[axes for _, axes in sorted(row, key=lambda found: found[0])] for _, row in sorted(rows.items())]


def rgb_of(axes):
    return np.asarray(axes.images[0].get_array())


def grey_of(value):
    return (value + 2.5) / 5


def test_each_picture_stands_below_its_title():
    (figure,) = draw("Clip", [a_block(a_row(), a_row(level=0.5))])
    table = table_of(figure)
    assert [len(row) for row in table] == [len(HEADS)] * 2
    width = figure.get_size_inches()[0]
    titles = {text.get_text(): text.get_position()[0] for text in figure.texts}
    for axes, title in zip(table[0], HEADS, strict=True):
        x0, _, wide, _ = axes.get_position().bounds
        assert titles[title] * width == pytest.approx((x0 + wide / 2) * width, abs=0.01)
    for row, level in zip(table, (0.0, 0.5), strict=True):
        for column, value in ((0, level), (1, level), (2, -1.0), (3, 1.0), (5, 2.0)):
            np.testing.assert_allclose(rgb_of(row[column]), grey_of(value), atol=1e-6)
    assert [len(axes.collections) for axes in table[0]] == [0, 1, 0, 0, 0, 0, 0, 0]


def test_the_file_shows_a_known_restoration_at_its_place(tmp_path):
    (figure,) = draw("Clip", [a_block(a_row(), a_row(restorations=(-2.0, 0.5)))])
    write(figure, tmp_path / "g.png")
    pixels = imread(tmp_path / "g.png")[..., :3]
    table = table_of(figure)
    for row, values in zip(table, ((1.0, 2.0), (-2.0, 0.5)), strict=True):
        for axes, value in zip((row[3], row[5]), values, strict=True):
            x0, y0, wide, tall = axes.get_position().bounds
            middle = pixels[int((1 - y0 - tall / 2) * len(pixels)), int((x0 + wide / 2) * pixels.shape[1])]
            np.testing.assert_allclose(middle, grey_of(value), atol=0.01)
    x0, y0, wide, tall = table[0][1].get_position().bounds
    panel = pixels[int((1 - y0 - tall) * len(pixels)) : int((1 - y0) * len(pixels))]
    panel = panel[:, int(x0 * pixels.shape[1]) : int((x0 + wide) * pixels.shape[1])]
    alert = np.array([int(ALERT[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    near = np.abs(panel - alert).max(-1) < 0.2
    rows, columns = (np.flatnonzero(near.any(axis)) / near.shape[1 - axis] for axis in (1, 0))
    # The label covers pixels 5 to 14 of 20 rows and of 30 columns.
    assert (rows.min(), rows.max()) == pytest.approx((0.25, 0.75), abs=0.05)
    assert (columns.min(), columns.max()) == pytest.approx((1 / 6, 1 / 2), abs=0.05)


def test_residuals_and_scores_have_one_scale_for_all_rows():
    low, high = a_block(a_row(score=1.0), top=1.0), a_block(a_row(restorations=(3.0, 1.0), score=1.0), top=4.0)
    (figure,) = draw("Clip", [low, high])
    first, second = table_of(figure)
    np.testing.assert_array_equal(rgb_of(first[4]), rgb_of(second[6]))  # |0 − 1| in both
    np.testing.assert_array_equal(rgb_of(first[7]), rgb_of(second[7]))
    assert rgb_of(first[6]).mean() < rgb_of(second[4]).mean()  # 2 against 3 of 4 SD
    for axes, name in zip(figure.axes[-2:], ("Residual", "Pixel score"), strict=True):
        assert axes.get_xlim() == (0, 4)
        assert axes.get_xlabel() == f"{name} (SD of healthy intensity)"


def test_without_label_and_restorations_their_columns_are_left_out():
    (figure,) = draw("Clip", [a_block(a_row(restorations=(), label=False))])
    assert [len(row) for row in table_of(figure)] == [4]
    titles = {text.get_text() for text in figure.texts}
    assert {"Input", "Regeneration", "Residual", "Pixel score"} < titles
    assert not titles & {"Label", "Restoration 1"}


def test_a_tall_gallery_is_split_between_blocks_where_it_can():
    assert shared_out([3, 3, 3], 6) == [[(0, range(3)), (1, range(3))], [(2, range(3))]]
    assert shared_out([4, 4], 6) == [[(0, range(4))], [(1, range(4))]]
    assert shared_out([8, 1], 6) == [[(0, range(6))], [(0, range(6, 8)), (1, range(1))]]
    figures = draw("Clip", [a_block(*(a_row(level=n / 10) for n in range(5)))], rows=3)
    assert [len(table_of(figure)) for figure in figures] == [3, 2]
    np.testing.assert_allclose(rgb_of(table_of(figures[1])[0][0]), grey_of(0.3), atol=1e-6)
    words = [{text.get_text() for text in figure.texts} for figure in figures]
    assert {"Clip (1 of 2)", "A model: light"} < words[0]
    assert {"Clip (2 of 2)", "A model: light (continued)"} < words[1]


def test_long_titles_and_dollars_are_drawn_as_they_are(tmp_path):
    (figure,) = draw("$x_{$" + 300 * "n", [a_block(a_row("$frame_{$"), title="$m_{$" + 300 * "n")])
    write(figure, tmp_path / "g.png")
    edges = [text.get_window_extent() for text in figure.texts]
    assert min(box.x0 for box in edges) >= 0
    assert max(box.x1 for box in edges) <= figure.bbox.x1


@pytest.mark.parametrize("method", ["sequential", "light"])
def test_a_row_shows_the_restorations_of_its_slice(tiny_bundle, head, method):
    bundle = Bundle.load(tiny_bundle, "cpu")
    given = Settings(method=method, lambda_p="p40", n_restorations=3, pooling="2d", score="intensity")
    explorer, plain = (Explorer(bundle, given) for _ in range(2))
    for other in (explorer, plain):
        other.load_scan(*head)
    i = index_of(explorer.grid, 14, "head")
    row = row_of(explorer, given, i, 2, np.ones(explorer.grid.mask.shape[1:], bool), "head")
    plain.change(given.model_copy(update={"slices": (14, 14)}))
    plain.focus = i
    plain.finish()
    assert len(row.restorations) == 2
    for j, found in enumerate(row.restorations):
        np.testing.assert_array_equal(found, plain.map("restoration_j", j)[i])
    np.testing.assert_array_equal(row.score, plain.map("pixel_score")[i])
    plain.change(plain.settings.model_copy(update={"method": "regenerative"}))
    plain.finish()
    np.testing.assert_array_equal(row.regeneration, plain.map("restoration")[i])
    pictures = [row.regeneration, *row.restorations]
    assert not any(np.array_equal(a, b) for n, a in enumerate(pictures) for b in pictures[:n])
    np.testing.assert_array_equal(row.scan, plain.grid.slices[i])
    assert row.title == f"head\nslice 14\n{plain.grid.slice_label(i)}\nabnormal"
    another = row_of(explorer, given.model_copy(update={"seed": 1}), i, 2, None, "")
    assert not np.array_equal(another.restorations[0], row.restorations[0])
    assert another.title == f"slice 14\n{plain.grid.slice_label(i)}"


def test_drawn_frames_are_of_their_part_and_kind(clip_folder):
    def names(normal, abnormal, seed):
        return [(clip.name, t) for clip, t in ped2.draw_frames(clip_folder, "test", normal, abnormal, seed)]

    drawn = ped2.draw_frames(clip_folder, "test", 2, 4, seed=0)
    assert [bool(clip.abnormal[t]) for clip, t in drawn] == [False] * 2 + [True] * 4
    assert names(2, 4, 0) == [(clip.name, t) for clip, t in drawn]
    assert names(2, 4, 1) != names(2, 4, 0)
    assert set(names(2, 4, 0)) < set(names(2, 9, 0))
    for clip, t in drawn:  # of a normal run of 20 frames the last two are tested, of the ten in testing_01 the last
        if not clip.abnormal[t]:
            assert t in ((9,) if clip.name == "testing_01" else (18, 19))
    with pytest.raises(InputError, match="has 5 normal frames, fewer than the 6 asked for"):
        ped2.draw_frames(clip_folder, "test", 6, 0, seed=0)


@pytest.fixture
def drawn(monkeypatch):
    """The title and blocks that the command draws."""
    kept = []

    def keep(title, blocks):
        kept.append((title, blocks))
        return draw(title, blocks)

    monkeypatch.setattr(gallery, "draw", keep)
    return kept


def test_the_command_draws_a_labelled_head(tiny_bundle, head, tmp_path, drawn):
    volume, mask = head
    label = np.zeros(mask.shape, bool)
    label[12:18, 14:20, 12:15] = True
    for name, array in (("scan", volume.voxels), ("mask", mask.astype(np.uint8)), ("label", label.astype(np.uint8))):
        write_map(tmp_path / f"{name}.nii.gz", array, volume)
    files = ("--mask", tmp_path / "mask.nii.gz", "--label", tmp_path / "label.nii.gz", "-o", tmp_path / "g.png")
    words = (tmp_path / "scan.nii.gz", *files, "--bundle", tiny_bundle, "--lambda-p", "p20", "-S", 3)
    assert run(*words, "--slices", 14, 5, "--method", "light", "regenerative") == 0
    assert imread(tmp_path / "g.png").std() > 0.05
    ((title, blocks),) = drawn
    assert title == "scan"
    assert [block.title.split(",")[0] for block in blocks] == ["Tiny: light", "Tiny: regenerative"]
    assert "S = 3" in blocks[0].title
    for block, count in zip(blocks, (2, 0), strict=True):
        assert [len(row.restorations) for row in block.rows] == [count] * 2
        assert [row.title.split("\n")[0] for row in block.rows] == ["slice 14", "slice 5"]
        assert [row.title.split("\n")[-1] for row in block.rows] == ["abnormal", "normal"]
    np.testing.assert_array_equal(blocks[0].rows[0].regeneration, blocks[1].rows[0].regeneration)


def test_the_command_draws_frames_of_two_models(tiny_clips, clip_folder, tmp_path, drawn, capsys):
    words = ("--ped2", clip_folder, "--normal", 3, "--abnormal", 4, "--bundle", tiny_clips, tiny_clips)
    assert run(*words, "-o", tmp_path / "g.png", "--method", "light", "--lambda-p", "p20", "--restorations", 1) == 0
    assert sorted(p.name for p in tmp_path.glob("*.png")) == ["g-1.png", "g-2.png"]
    assert "Wrote" in capsys.readouterr().out
    ((title, blocks),) = drawn
    assert title == "ped2, test part"
    chosen = ped2.draw_frames(clip_folder, "test", 3, 4, seed=0)
    for block in blocks:
        for row, (clip, t) in zip(block.rows, chosen, strict=True):
            assert row.title.split("\n") == [clip.name, f"frame {t}", "abnormal" if clip.abnormal[t] else "normal"]
            np.testing.assert_array_equal(row.label, clip.label[t])
            assert np.corrcoef(row.scan.ravel(), clip.frames[t].ravel())[0, 1] > 0.95
    # A frame of the clip itself is analysed with the same random numbers.
    clip, t = chosen[-1]
    words = (clip_folder / f"{clip.name}.npz", "--slices", t, "--bundle", tiny_clips, "-o", tmp_path / "one.png")
    assert run(*words, "--method", "light", "--lambda-p", "p20") == 0
    np.testing.assert_array_equal(drawn[1][1][0].rows[0].restorations[0], blocks[0].rows[-1].restorations[0])


def test_input_that_does_not_fit_is_refused(tiny_bundle, tiny_clips, tiny_pca, clip_folder, tmp_path, capsys):
    clip, out = clip_folder / "testing_01.npz", ("-o", tmp_path / "g.png")
    of_clips = ("--bundle", tiny_clips)
    for words, sentence in (
        ((*of_clips,), "Give a head or a clip with --slices, or --ped2 with a folder."),
        ((clip, "--ped2", clip_folder, *of_clips), "Give a head or a clip with --slices, or --ped2"),
        ((clip, *of_clips), "Give --slices"),
        ((clip, "--slices", 500, *of_clips), "no frame 500 to analyse; of its frames, 0 to 19, the nearest is 19."),
        ((clip, "--slices", 1, "--normal", 2, *of_clips), "--normal is for frames of --ped2."),
        ((clip, "--slices", 1, "--mask", clip, *of_clips), "--mask is for heads"),
        ((clip, "--slices", 1, "--restorations", 0, *of_clips), "--restorations is a number from 1 to 10."),
        ((clip, "--slices", 1, "-S", 1, *of_clips), "fewer restorations than the 2 to show"),
        ((clip, "--slices", 1, "--seed", -1, *of_clips), "--seed does not fit"),
        ((clip, "--slices", 1, "--method", "masked", *of_clips), "has no method 'masked'"),
        ((clip, "--slices", 1, "--bundle", tiny_clips, tiny_bundle), "different grids or templates"),
        ((clip, "--slices", 1, "--bundle", tiny_pca), "needs a vector-quantised model"),
        (("--ped2", clip_folder, "--slices", 1, *of_clips), "--slices is for a scan, not for --ped2."),
        (("--ped2", clip_folder, "--normal", 0, "--abnormal", 0, *of_clips), "one of them is above 0"),
        (("--ped2", clip_folder, "--normal", 99, *of_clips), "has 5 normal frames"),
        (("--ped2", clip_folder, "--bundle", tiny_bundle), "Ped2 is made of clips"),
        (("--ped2", tmp_path / "none", *of_clips), "has no clips; training_NN.npz"),
    ):
        assert run(*words, *out) == 2, words
        error = capsys.readouterr().err
        assert sentence in error
        assert "Traceback" not in error
    assert run(clip, "--slices", 1, *of_clips, "-o", tmp_path / "none" / "g.png") == 2
    assert "is no folder" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.png"))
