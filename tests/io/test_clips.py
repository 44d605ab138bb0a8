"""Clips in; what is no clip is refused in one sentence."""

import numpy as np
import pytest

from napari_vqad.errors import InputError
from napari_vqad.io.clips import is_clip, read_clip

FRAMES = np.random.default_rng(0).integers(0, 256, (4, 5, 11)).astype(np.uint8)  # 11 columns: bits to spare
LABEL = np.random.default_rng(1).random((4, 5, 11)) > 0.5
LABEL[2] = False
PACKED = {"frame_label": np.array([1, 1, 0, 1], np.uint8), "pixel_label": np.packbits(LABEL, axis=-1)}


def test_frames_and_labels_come_back(tmp_path):
    np.savez_compressed(tmp_path / "walk.npz", frames=FRAMES, **PACKED)
    clip = read_clip(tmp_path / "walk.npz")
    assert (clip.name, len(clip)) == ("walk", 4)
    np.testing.assert_array_equal(clip.frames, FRAMES)
    np.testing.assert_array_equal(clip.label, LABEL)
    np.testing.assert_array_equal(clip.abnormal, [True, True, False, True])
    piece = clip.part(1, 3)
    assert piece.name == "walk, frames 1 to 2"
    np.testing.assert_array_equal(piece.frames, FRAMES[1:3])
    np.testing.assert_array_equal(piece.label, LABEL[1:3])
    np.testing.assert_array_equal(piece.abnormal, [True, False])


def test_a_clip_without_labels(tmp_path):
    np.savez(tmp_path / "walk.npz", frames=FRAMES)
    clip = read_clip(tmp_path / "walk.npz")
    assert clip.abnormal is None
    assert clip.label is None
    volume = clip.part(0, 3).volume()
    assert volume.kind == "clip"
    assert volume.voxels[7, 2, 1] == FRAMES[1, 2, 7]  # column, row, time


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({"levels": FRAMES}, "holds no 'frames'"),
        ({"frames": FRAMES.astype(float)}, "float64"),
        ({"frames": FRAMES[0]}, "5×11"),
        ({"frames": FRAMES[:0]}, "0×5×11"),
        ({"frames": FRAMES, "frame_label": PACKED["frame_label"]}, "'frame_label' alone"),
        ({"frames": FRAMES, **PACKED, "frame_label": np.ones(3)}, "must agree"),
        ({"frames": FRAMES, **PACKED, "pixel_label": LABEL}, "must agree"),
        ({"frames": FRAMES, **PACKED, "pixel_label": PACKED["pixel_label"][:, :4]}, "must agree"),
        ({"frames": np.array([{"a": 1}], dtype=object)}, "plain arrays"),
    ],
    ids=str,
)
def test_refuses_what_does_not_fit(tmp_path, arrays, word):
    path = tmp_path / "odd.npz"
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=word) as caught:
        read_clip(path)
    assert "odd.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_refuses_what_is_no_npz(tmp_path):
    np.savez(tmp_path / "walk.npz", frames=FRAMES)
    whole = (tmp_path / "walk.npz").read_bytes()
    array = tmp_path / "array.npz"
    with array.open("wb") as file:
        np.save(file, FRAMES)
    for name, content in (("text.npz", b"nothing"), ("cut.npz", whole[:-200]), ("array.npz", array.read_bytes())):
        (tmp_path / name).write_bytes(content)
        assert not is_clip(tmp_path / name)
        with pytest.raises(InputError, match=name):
            read_clip(tmp_path / name)
    damaged = bytearray(whole)
    damaged[100:140] = bytes(40)
    (tmp_path / "damaged.npz").write_bytes(damaged)
    with pytest.raises(InputError, match=r"damaged\.npz"):
        read_clip(tmp_path / "damaged.npz")
    with pytest.raises(InputError, match="does not exist"):
        read_clip(tmp_path / "none.npz")
    with pytest.raises(InputError, match="not a file"):
        read_clip(tmp_path)


def test_only_an_npz_with_frames_is_taken_for_a_clip(tmp_path):
    np.savez(tmp_path / "walk.npz", frames=FRAMES)
    np.savez(tmp_path / "other.npz", levels=FRAMES)
    assert is_clip(tmp_path / "walk.npz")
    assert not is_clip(tmp_path / "other.npz")
    assert not is_clip(tmp_path / "none.npz")
    assert not is_clip("walk.tif")


def test_real_clips(shared_data):
    folder = shared_data / "ucsd_ped2_128"
    clip = read_clip(folder / "testing_01.npz")
    assert clip.frames.shape == (180, 128, 128)
    # A frame is abnormal where a pixel of it is.
    np.testing.assert_array_equal(clip.abnormal, clip.label.any((1, 2)))
    assert clip.abnormal.sum() == 120
    assert read_clip(folder / "training_01.npz").abnormal is None
