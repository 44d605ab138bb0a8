"""Fixtures that several folders of tests share."""

import gc
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

# Before anything imports napari or matplotlib: tests neither read nor write the person's settings and caches.
_HOME = tempfile.TemporaryDirectory(prefix="napari-vqad-tests-")
os.environ["NAPARI_CONFIG"] = str(Path(_HOME.name) / "napari" / "settings.yaml")
os.environ["MPLCONFIGDIR"] = str(Path(_HOME.name) / "matplotlib")

# Two processes share two cores (pytest -n 2): each network alone on one of them, as on a machine without others.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("LP_NUM_THREADS", "0")  # and so the drawing by software


def pytest_collection_modifyitems(items):
    """The tests of the shared window come last, in a row: each window of a test's own closes it, for seconds."""
    items.sort(key=lambda item: "explored" in item.fixturenames)


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Commands take all cores without `--threads`; two test processes that do so are ten times slower."""
    import torch

    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "set_num_threads", lambda _n: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def garbage_is_seldom_collected():
    """Python would go through all of torch and Qt again and again; tests that ask what is left collect themselves."""
    import napari_vqad.cli  # noqa: F401

    gc.collect()
    gc.freeze()
    before = gc.get_threshold()
    gc.set_threshold(200_000, 20, 20)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


DATA = Path(os.environ.get("NAPARI_VQAD_DATA") or Path(__file__).parents[2] / "shared" / "data")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real data; tests that need it are skipped where it is not there."""
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA}; set NAPARI_VQAD_DATA to their folder")
    return DATA


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory) -> Path:
    """A bundle with small random networks, a 16×24 grid of 4 mm and plausible calibration."""
    import torch

    from napari_vqad.detectors.calibration import LAMBDA_LEVELS, LEVELS, Calibration
    from napari_vqad.detectors.vq.config import VQConfig
    from napari_vqad.imaging.grid_spec import GridSpec
    from napari_vqad.nets.vq.pixelsnail import PixelSNAIL, PixelSnailConfig
    from napari_vqad.nets.vq.vqvae import VQVAE, TokenizerConfig
    from napari_vqad.nets.weights import save_weights

    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    torch.manual_seed(0)
    config = VQConfig(
        title="Tiny",
        description="Random weights, for tests.",
        grid=GridSpec(shape=(32, 40), spacing=4.0),
        tokenizer=TokenizerConfig(channels=(8, 8, 8), blocks=(1, 1, 1), n_codes=16, code_dim=8, condition=8),
        prior=PixelSnailConfig(channels=16, blocks=1, res_blocks=1, condition=8),
    )
    (folder / "config.json").write_text(config.model_dump_json())
    (folder / "README.md").write_text("# Tiny\n\nRandom weights, for tests.\n")
    save_weights(VQVAE(config.tokenizer), folder / "tokenizer.safetensors")
    prior = PixelSNAIL(config.prior, 16)
    for parameter in prior.parameters():  # a prior with opinions: the fresh one finds everything alike
        torch.nn.init.normal_(parameter, std=0.3)
    save_weights(prior, folder / "prior.safetensors")

    ramp = np.linspace(0, 1, len(LEVELS))
    methods = ("sequential", "anchored", "light", "regenerative")
    kinds = [f"{m} {p} plain" for m in methods for p in ("none", "2d", "3d", "smooth")]
    calibration = Calibration(
        n_scans=1,
        n_slices=30,
        levels=list(LEVELS),
        nll=(6 * ramp).tolist(),
        slice_score={f"{level:g}": ((1 - level / 100) * 90 * ramp).tolist() for level in LAMBDA_LEVELS},
        residual={m: (3 * ramp).tolist() for m in methods},
        pixel_score={k: (1.5 * ramp).tolist() for k in kinds},
        findings={k: (40 * (1 - ramp)).tolist() for k in kinds},
    )
    (folder / "calibration.json").write_text(calibration.model_dump_json())
    return folder


@pytest.fixture(scope="session")
def tiny_two(tiny_bundle, tmp_path_factory) -> Path:
    """The tiny bundle with two levels of codes."""
    import json
    import shutil

    import torch

    from napari_vqad.detectors.bundle import read_config
    from napari_vqad.detectors.vq.config import VQConfig
    from napari_vqad.nets.vq.two_level import TwoLevelConfig, TwoLevelPrior
    from napari_vqad.nets.vq.vqvae2 import VQVAE2, VQVAE2Config
    from napari_vqad.nets.weights import save_weights

    folder = tmp_path_factory.mktemp("models") / "two"
    shutil.copytree(tiny_bundle, folder)
    torch.manual_seed(1)
    given = read_config(tiny_bundle)
    sizes = {"channels": (8, 8), "blocks": (1, 1), "n_codes": 16, "code_dim": 8, "condition": 8}
    config = VQConfig(
        title="Tiny, two levels",
        description="Random weights, for tests.",
        grid=given.grid,
        tokenizer=VQVAE2Config(**sizes, top_channels=8, top_blocks=1),
        prior=TwoLevelConfig(shape=(4, 5), top=given.prior, bottom=given.prior),
    )
    (folder / "config.json").write_text(config.model_dump_json())
    save_weights(VQVAE2(config.tokenizer), folder / "tokenizer.safetensors")
    prior = TwoLevelPrior(config.prior, 16)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    save_weights(prior, folder / "prior.safetensors")
    known = json.loads((folder / "calibration.json").read_text())
    known["nll_map"] = {
        level: [f * v for v in known["nll"]] for level, f in (("all", 1.5), ("top", 0.8), ("bottom", 1))
    }
    (folder / "calibration.json").write_text(json.dumps(known))
    return folder


@pytest.fixture(scope="session")
def tiny_masked(tiny_bundle, tmp_path_factory) -> Path:
    """The tiny bundle with a prior that sees both sides."""
    import json
    import shutil

    import torch

    from napari_vqad.detectors.bundle import read_config
    from napari_vqad.nets.vq.masked_transformer import MaskedConfig, MaskedTransformer
    from napari_vqad.nets.weights import save_weights

    folder = tmp_path_factory.mktemp("masked") / "tiny-masked"
    shutil.copytree(tiny_bundle, folder)
    chosen = MaskedConfig(width=16, layers=1, heads=2, condition=8)
    config = read_config(folder).model_copy(update={"prior": chosen, "title": "Tiny, masked"})
    (folder / "config.json").write_text(config.model_dump_json())
    torch.manual_seed(0)
    prior = MaskedTransformer(chosen, 16)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    save_weights(prior, folder / "prior.safetensors")
    known = json.loads((folder / "calibration.json").read_text())
    for table in ("residual", "pixel_score", "findings"):
        named = {name.replace("anchored", "masked"): value for name, value in known[table].items()}
        known[table] = {name: value for name, value in named.items() if name.split()[0] in ("masked", "regenerative")}
    (folder / "calibration.json").write_text(json.dumps(known))
    return folder


@pytest.fixture(scope="session")
def tiny_anogan(tiny_bundle, tmp_path_factory) -> Path:
    """A bundle of AnoGAN with random weights on the grid of the tiny one."""
    import torch

    from napari_vqad.detectors.anogan import AnoGANConfig, AnoGANDetector
    from napari_vqad.detectors.bundle import read_config
    from napari_vqad.nets.gan import GanSizes, Generator, SliceDiscriminator

    grid, sizes = read_config(tiny_bundle).grid, GanSizes(latent=4, channels=(4, 6, 6), condition=4)
    config = AnoGANConfig(title="Tiny, AnoGAN", description="For tests.", grid=grid, network=sizes)
    torch.manual_seed(0)
    networks = (Generator(sizes, grid.shape).eval(), SliceDiscriminator(sizes, grid.shape).eval())
    return _simple(
        tmp_path_factory.mktemp("gan") / "tiny-anogan", config, AnoGANDetector(*networks, sizes), tiny_bundle
    )


@pytest.fixture(scope="session")
def tiny_restoration(tiny_bundle, tiny_vae, tmp_path_factory) -> Path:
    """A bundle of gradient restoration with the network of the tiny VAE."""
    from napari_vqad.detectors.bundle import Bundle, read_config
    from napari_vqad.detectors.vae_restoration import VAERestorationConfig, VAERestorationDetector

    known = read_config(tiny_vae)
    config = VAERestorationConfig(title="Tiny, restored", description=".", grid=known.grid, network=known.network)
    detector = VAERestorationDetector(Bundle.load(tiny_vae, "cpu").detector.network)
    return _simple(tmp_path_factory.mktemp("restoration") / "tiny-restoration", config, detector, tiny_bundle)


@pytest.fixture(scope="session")
def tiny_pca(tiny_bundle, tmp_path_factory) -> Path:
    """A bundle of the linear detector on the grid of the tiny one, fitted on noise."""
    from napari_vqad.detectors.bundle import read_config
    from napari_vqad.detectors.pca import PCA, PCAConfig, PCADetector

    grid = read_config(tiny_bundle).grid
    config = PCAConfig(title="Tiny, PCA", description="For tests.", grid=grid, n_components=3)
    slices = np.random.default_rng(0).normal(size=(20, *grid.shape)).astype(np.float32)
    folder = tmp_path_factory.mktemp("pca") / "tiny-pca"
    return _simple(folder, config, PCADetector(PCA.fit(slices, 3)), tiny_bundle)


@pytest.fixture(scope="session")
def tiny_histogram(tiny_bundle, tmp_path_factory) -> Path:
    """A bundle of the intensity baseline on the grid of the tiny one."""
    from napari_vqad.detectors.bundle import read_config
    from napari_vqad.detectors.histogram import HistogramConfig, HistogramDetector

    config = HistogramConfig(title="Tiny, histogram", description="For tests.", grid=read_config(tiny_bundle).grid)
    folder = tmp_path_factory.mktemp("histogram") / "tiny-histogram"
    return _simple(folder, config, HistogramDetector(), tiny_bundle)


@pytest.fixture(scope="session")
def tiny_vae(tiny_bundle, tmp_path_factory) -> Path:
    """A bundle of a VAE with random weights on the grid of the tiny one."""
    import torch

    from napari_vqad.detectors.bundle import read_config
    from napari_vqad.detectors.vae import VAEConfig, VAEDetector
    from napari_vqad.nets.autoencoder import AutoencoderSizes

    sizes = AutoencoderSizes(channels=(8, 8, 8), blocks=(1, 1, 1), code_dim=4, condition=8, latent=6)
    config = VAEConfig(title="Tiny, VAE", description="For tests.", grid=read_config(tiny_bundle).grid, network=sizes)
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("vae") / "tiny-vae"
    return _simple(folder, config, VAEDetector(VAEDetector.make(config).eval()), tiny_bundle)


@pytest.fixture(scope="session")
def tiny_dfkde(tiny_vae, tmp_path_factory) -> Path:
    """A bundle that scores slices only, by features of the tiny VAE, fitted on noise."""
    import shutil

    from napari_vqad.detectors.bundle import read_config
    from napari_vqad.detectors.calibration import LEVELS, Calibration, quantiles
    from napari_vqad.detectors.dfkde import FEATURES, DFKDEConfig, DFKDEDetector, pooled_features
    from napari_vqad.detectors.protocol import HealthySlices

    source = read_config(tiny_vae)
    recipe = DFKDEConfig(title="Tiny, DFKDE", description="For tests.", grid=source.grid, components=4)
    config, names = DFKDEDetector.prepare(recipe, source, tiny_vae.name)
    slices = np.random.default_rng(0).normal(size=(20, *source.grid.shape)).astype(np.float32)
    position, network = np.zeros(20, np.float32), tiny_vae / names[FEATURES]
    detector = DFKDEDetector.fit(config, HealthySlices(lambda: (slices, position), {FEATURES: network}))
    folder = tmp_path_factory.mktemp("dfkde") / "tiny-dfkde"
    folder.mkdir()
    (folder / "config.json").write_text(config.model_dump_json())
    shutil.copyfile(network, folder / FEATURES)
    detector.save(folder)
    scores = detector.density.surprise(pooled_features(detector.network, slices, position))
    tables = {"residual": {}, "pixel_score": {}, "findings": {}, "slice_score": {"0": quantiles(scores)}}
    calibration = Calibration(n_scans=1, n_slices=20, levels=list(LEVELS), **tables)
    (folder / "calibration.json").write_text(calibration.model_dump_json())
    return folder


def _simple(folder: Path, config, detector, calibrated_as: Path) -> Path:
    """A bundle of a detector without codes, with plausible tables."""
    import json

    from napari_vqad.detectors.bundle import Bundle
    from napari_vqad.detectors.calibration import Calibration, SliceTables

    folder.mkdir()
    (folder / "config.json").write_text(config.model_dump_json())
    detector.save(folder)
    known = json.loads((calibrated_as / "calibration.json").read_text())
    for table in ("residual", "pixel_score", "findings"):
        known[table] = {
            name.replace("anchored", variant): values
            for variant in detector.variants
            for name, values in known[table].items()
            if name.startswith("anchored")
        }
    for table in ("nll", "slice_score", "nll_map"):
        known.pop(table, None)
    if detector.slice_title is not None:
        known["slice_score"] = {"0": next(iter(known["pixel_score"].values()))}
    (folder / "calibration.json").write_text(json.dumps(known))
    weights = Bundle.load(folder, "cpu", Calibration(**known)).weights
    tables = SliceTables(weights=weights, slice_nll=None, slices=known["pixel_score"])
    (folder / "slices.json").write_text(tables.model_dump_json())
    return folder


@pytest.fixture(scope="session")
def tiny_clips(tiny_bundle, tmp_path_factory) -> Path:
    """The tiny bundle as one of clips, with frames of 32×40 pixels."""
    import shutil

    from napari_vqad.detectors.bundle import read_config
    from napari_vqad.imaging.grid_spec import GridSpec

    folder = tmp_path_factory.mktemp("clips") / "tiny-clips"
    shutil.copytree(tiny_bundle, folder)
    grid = GridSpec(shape=(32, 40), spacing=1.0, clip=(-3.0, 4.0), grey=(100.0, 40.0))
    config = read_config(folder).model_copy(update={"grid": grid, "title": "Tiny, clips"})
    (folder / "config.json").write_text(config.model_dump_json())
    return folder


@pytest.fixture
def make_clip():
    """path, seed, abnormal frames → an npz of 20 frames of 32×40 with a walker, and a bright cart in those frames."""

    def make(path: Path, seed: int = 0, abnormal: range | None = None, n: int = 20) -> Path:
        rng = np.random.default_rng(seed)
        frames = 100 + 40 * np.sin(np.arange(40) / 5) + 3 * rng.normal(size=(n, 32, 40))
        for t in range(n):
            frames[t, 12:18, (t + seed) % 36 : (t + seed) % 36 + 4] = 60
        arrays = {}
        if abnormal is not None:
            label = np.zeros((n, 32, 40), bool)
            for t in abnormal:
                label[t, 20:28, (2 * t) % 30 : (2 * t) % 30 + 9] = True
            frames[label] = 220
            arrays = {"frame_label": label.any((1, 2)).astype(np.uint8), "pixel_label": np.packbits(label, axis=-1)}
        np.savez(path, frames=frames.clip(0, 255).astype(np.uint8), **arrays)
        return path

    return make


@pytest.fixture
def clip_folder(make_clip, tmp_path) -> Path:
    """Two normal clips and two with something in them."""
    folder = tmp_path / "ped2"
    folder.mkdir()
    for i in (1, 2):
        make_clip(folder / f"training_{i:02}.npz", i)
    make_clip(folder / "testing_01.npz", 3, range(10, 20))
    make_clip(folder / "testing_02.npz", 4, range(20))
    return folder


@pytest.fixture
def head():
    """A ball of a brain in a 30×32×28 scan of 4 mm, and its mask."""
    from small_head import make_head

    return make_head()


@pytest.fixture
def case_folder(head, tmp_path):
    """One untouched case and one with a bright cube, as files."""
    import csv

    from napari_vqad.imaging.volume import Volume
    from napari_vqad.io.nifti import write_map

    volume, mask = head
    label = np.zeros(mask.shape, bool)
    label[12:18, 14:20, 12:18] = True
    bright = Volume(np.where(label, 2000, volume.voxels).astype(np.float32), volume.affine, volume.affine)
    for name, scan, answer in (("case00", volume, np.zeros_like(label)), ("case01", bright, label)):
        write_map(tmp_path / f"{name}_t1.nii.gz", scan.voxels, volume)
        write_map(tmp_path / f"{name}_mask.nii.gz", mask.astype(np.uint8), volume)
        write_map(tmp_path / f"{name}_label.nii.gz", answer.astype(np.uint8), volume)
    with (tmp_path / "cases.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["case", "kind"], ["case00", "normal"], ["case01", "cube"]])
    return tmp_path


@pytest.fixture
def make_series():
    """folder, array (column, row, slice), affine to R, A, S → the folder with a file a slice, in the array's order."""
    from pydicom import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    def make(
        folder: Path, array: np.ndarray, affine: np.ndarray, number: int = 3, ending: str = ".dcm", **tags
    ) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
        spacing = np.linalg.norm(lps[:3, :3], axis=0)
        common = {name: generate_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}
        for k in range(array.shape[2]):
            image = Dataset()
            image.file_meta = FileMetaDataset()
            image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = MRImageStorage
            image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            image.PatientName, image.PatientID, image.PatientSex, image.PatientBirthDate = "Doe^Jane", "P17", "F", None
            image.Modality, image.SeriesDescription, image.ImageType = "MR", "t1 mprage", ["ORIGINAL", "PRIMARY", "M"]
            image.SeriesNumber, image.InstanceNumber = number, k + 1
            image.StudyID = image.StudyDate = image.StudyTime = image.AccessionNumber = None
            image.Rows, image.Columns = array.shape[1], array.shape[0]
            image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
            image.BitsAllocated = image.BitsStored = 16
            image.HighBit, image.PixelRepresentation = 15, 0
            image.SliceThickness = 1.23  # not the step: that comes from positions
            image.PixelSpacing = [float(spacing[1]), float(spacing[0])]
            image.ImageOrientationPatient = [round(float(v), 7) for v in (lps[:3, :2] / spacing[:2]).T.ravel()]
            image.ImagePositionPatient = [round(float(v), 6) for v in lps[:3] @ [0, 0, k, 1]]
            image.PixelData = array[..., k].T.astype("<u2").tobytes()
            for name, value in (common | tags).items():
                setattr(image, name, value(k) if callable(value) else value)
            image.save_as(folder / f"IM{number:02}{k:04}{ending}", enforce_file_format=True)
        return folder

    return make
