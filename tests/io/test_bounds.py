"""Scans that wait, lie or explode: each is refused by a sentence, after reading no more than its header promises."""

import errno
import gzip
import os
import struct
import tracemalloc

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless

from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.io.clips import is_clip, read_clip
from napari_vqad.io.dicom_index import holds_dicom
from napari_vqad.io.load import load_scan
from napari_vqad.io.nifti import read_labels, read_scan
from napari_vqad.io.unpack import read_promised

VOXELS = np.random.default_rng(0).integers(1, 900, (6, 7, 8)).astype(np.int16)


@pytest.fixture
def packed(tmp_path):
    """A scan in gzip: its path, and its bytes unpacked."""
    path = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(VOXELS, np.diag([2.0, 2, 2, 1])), path)
    return path, gzip.decompress(path.read_bytes())


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "scan.dcm", "scan.npz"])
def test_a_pipe_is_refused_whatever_its_name(tmp_path, name):
    os.mkfifo(tmp_path / name)
    assert not is_clip(tmp_path / name)
    with pytest.raises(InputError, match="not a file"):
        (read_clip if name.endswith("npz") else load_scan)(tmp_path / name)


def test_what_unpacks_to_far_more_than_its_header_promises_is_refused(packed):
    path, raw = packed
    path.write_bytes(gzip.compress(raw + bytes(2**26), 1))
    tracemalloc.start()
    with pytest.raises(InputError, match=r"unpacks to over 16\.0 MiB more than its header promises"):
        read_scan(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < limits.BEYOND, "it was unpacked to the end"


def test_bytes_that_follow_the_gzip_data_are_left(packed):
    path, raw = packed
    whole = path.read_bytes()
    for behind, notes in ((b"garbage", 1), (bytes(1000), 0), (bytes(1000) + b"more", 1), (gzip.compress(b"beyond"), 0)):
        path.write_bytes(whole + behind)
        volume = read_scan(path)
        np.testing.assert_array_equal(volume.voxels, VOXELS)
        assert len([n for n in volume.notes if "gzip" in n]) == notes
    path.write_bytes(gzip.compress(raw[:300]) + gzip.compress(raw[300:500]) + bytes(3) + gzip.compress(raw[500:]))
    np.testing.assert_array_equal(read_scan(path).voxels, VOXELS)


def test_zeros_without_end_that_follow_the_gzip_data_are_left(packed):
    path, _ = packed
    os.truncate(path, 6 * 2**30)  # takes no room on the disk
    np.testing.assert_array_equal(read_scan(path).voxels, VOXELS)


@pytest.mark.parametrize("damage", ["checksum", "length", "cut"])
def test_gzip_whose_end_is_wrong_is_refused(packed, damage):
    path, _ = packed
    whole = bytearray(path.read_bytes())
    if damage == "cut":
        whole = whole[:-3]
    else:
        whole[-8 if damage == "checksum" else -4] ^= 1
    path.write_bytes(whole)
    with pytest.raises(InputError, match="cut short or damaged: it cannot be unpacked"):
        read_scan(path)


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_a_disk_that_cannot_be_read_is_not_a_damaged_file(packed, tmp_path, monkeypatch, name):
    path = tmp_path / name
    path.write_bytes(packed[1] if name == "scan.nii" else packed[0].read_bytes())

    def fail(*_args):
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        read_promised(path, 4, fail)
    for stream in ("_Plain", "_Gzip"):
        monkeypatch.setattr(f"napari_vqad.io.unpack.{stream}.take", fail)
    with pytest.raises(InputError, match=rf"{name} cannot be read: input/output error\.$"):
        read_scan(path)


def test_any_way_of_taking_gzip_in_pieces_gives_the_same_bytes(tmp_path):
    raw = bytes(5000) + np.random.default_rng(1).integers(0, 3, 5000, dtype=np.uint8).tobytes()
    (tmp_path / "it").write_bytes(gzip.compress(raw[:7000]) + gzip.compress(raw[7000:]))
    for first in (1, 999, 6999, 7000, 7001, 10_000, 20_000):
        for wanted in (first, 9999, 10_000, 30_000):
            found, _ = read_promised(tmp_path / "it", first, lambda _, n=wanted: n)
            assert found == raw[: max(first, wanted)]


def test_a_header_that_promises_more_than_the_limit_is_refused_before_its_voxels_are_read(tmp_path):
    header = nib.Nifti1Header()
    header.set_data_dtype(np.float32)
    header.set_data_shape((1000, 1000, 1500))
    header["magic"], header["vox_offset"] = b"n+1", 352
    path = tmp_path / "large.nii"
    path.write_bytes(header.binaryblock + bytes(4))
    os.truncate(path, 352 + 6 * 10**9)
    with pytest.raises(InputError, match=r"promises 1000×1000×1500 voxels, 5\.6 GiB as float32, and at most 2\.0 GiB"):
        read_scan(path)


def test_what_follows_the_voxels_is_not_read(packed, tmp_path):
    path = tmp_path / "scan.nii"
    path.write_bytes(packed[1])
    os.truncate(path, 6 * 2**30)
    tracemalloc.start()
    np.testing.assert_array_equal(read_scan(path).voxels, VOXELS)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**23


def test_a_label_that_is_no_small_number_is_refused(tmp_path, packed):
    labels = VOXELS.astype(np.float32)
    labels[0, 0, 0] = 1e38
    nib.save(nib.Nifti1Image(labels, np.diag([2.0, 2, 2, 1])), tmp_path / "label.nii")
    with pytest.raises(InputError, match=r"label\.nii has a label of 1e\+38"):
        read_labels(tmp_path / "label.nii", read_scan(packed[0]))


def test_a_clip_that_unpacks_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "walk.npz", frames=np.zeros((64, 64, 64), np.uint8))
    assert read_clip(tmp_path / "walk.npz").frames.shape == (64, 64, 64)
    monkeypatch.setattr(limits, "VOXELS", 2**18)
    with pytest.raises(InputError, match=r"walk\.npz is too large"):
        read_clip(tmp_path / "walk.npz")


@pytest.fixture
def series(make_series, tmp_path):
    return make_series(tmp_path / "series", VOXELS.astype(np.uint16), np.diag([2.0, 2, 2, 1]))


def test_a_pipe_and_a_device_in_a_folder_of_dicom_are_passed_over(series):
    os.mkfifo(series / "AA")
    os.mkfifo(series / "AB.dcm")
    (series / "AC").symlink_to("/dev/zero")
    assert holds_dicom(series)
    assert load_scan(series).voxels.shape == (6, 7, 8)
    (file, *_) = sorted(series.glob("IM*"))
    assert load_scan(file).voxels.shape == (6, 7, 8)


def test_a_folder_that_holds_more_than_is_searched_is_refused(series, monkeypatch):
    monkeypatch.setattr(limits, "SEARCH_FILES", 5)
    with pytest.raises(InputError, match="holds more than 5 files and folders"):
        load_scan(series)
    assert not holds_dicom(series)


def edit(folder, **values):
    for file in folder.iterdir():
        image = dcmread(file)
        for name, value in values.items():
            setattr(image, name, value)
        image.save_as(file)


def test_dicom_of_more_pixels_than_the_limit_is_refused_before_there_is_room_for_them(series):
    edit(series, Rows=65535, Columns=65535)
    with pytest.raises(InputError, match=r"too large: 8 slices of 65535×65535 are 128\.0 GiB as float32"):
        load_scan(series)


def test_dicom_with_fewer_pixels_than_its_header_says_is_refused(series):
    edit(series, Rows=4000, Columns=4000)
    with pytest.raises(InputError, match="has not the pixels that its header promises"):
        load_scan(series)


def test_a_deflated_dicom_file_that_unpacks_beyond_the_limit_is_refused(series, monkeypatch):
    for file in series.iterdir():
        image = dcmread(file)
        image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        image.save_as(file)
    assert load_scan(series).voxels.shape == (6, 7, 8)
    edit(series, PixelData=bytes(2**23))
    monkeypatch.setattr(limits, "VOXELS", 2**22)
    with pytest.raises(InputError, match=r"too large: it unpacks to more than 4\.0 MiB"):
        load_scan(series)


RUNS = struct.pack("<16L", 2, 64, 64 + 20_000, *[0] * 13) + b"\x81\0" * 20_000
JPEG = b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 11, 8, 65535, 65535, 1) + b"\x01\x11\0\xff\xd9"
JPEG_2000 = b"\xff\x4f\xff\x51" + struct.pack(">HH4I", 41, 0, 50_000, 50_000, 0, 0)


@pytest.mark.parametrize(
    ("syntax", "frame"),
    [(RLELossless, RUNS), (JPEGBaseline8Bit, JPEG), (JPEGBaseline8Bit, JPEG_2000)],
    ids=["run lengths", "JPEG", "JPEG 2000"],
)
def test_packed_pixels_that_are_another_picture_than_the_header_says_are_not_unpacked(series, syntax, frame):
    for file in series.iterdir():
        image = dcmread(file)
        image.PixelData = encapsulate([frame])
        image["PixelData"].VR, image["PixelData"].is_undefined_length = "OB", True
        image.file_meta.TransferSyntaxUID = syntax
        image.save_as(file)
    with pytest.raises(InputError, match="has not the pixels that its header promises"):
        load_scan(series)
