"""The public names of the package, their types, and the schema of a result."""

import ast
import inspect
import json
from pathlib import Path

import pytest
from typing_extensions import is_typeddict

import napari_vqad
from napari_vqad.detectors.settings import Settings
from napari_vqad.export import result_schema
from napari_vqad.export.result_schema import FindingDict, ResultDict
from napari_vqad.export.tables import COLUMNS
from napari_vqad.settings import SharedSettings

QUICK = Settings(n_restorations=1, method="light", flag_voxels="p75")
OF_0_1 = Path(__file__).parent / "files_of_0_1"
WITHOUT_DOCSTRING = (result_schema.StudyDict, result_schema.WrittenDict)  # made by a call; `ResultDict` documents them
SCHEMAS = [s for s in vars(result_schema).values() if is_typeddict(s) and s not in WITHOUT_DOCSTRING]


@pytest.fixture
def read(tmp_path):
    """Text of a result.json → what it holds; refuses keys that the schema does not know, and values of other types."""

    def of(text):
        (tmp_path / "result.json").write_text(text, encoding="utf-8")
        return napari_vqad.read_result(tmp_path / "result.json")

    return of


def analysis(head, bundle, settings=QUICK, **more) -> napari_vqad.Result:
    volume, mask = head
    return napari_vqad.score(volume, mask=mask, bundle=bundle, device="cpu", settings=settings, **more)


def typed_names() -> dict[str, str]:
    """The names that the package imports for type checkers, and their modules."""
    tree = ast.parse(Path(napari_vqad.__file__).read_text(encoding="utf-8"))
    blocks = [n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    imports = [n for block in blocks for n in block.body if isinstance(n, ast.ImportFrom)]
    return {alias.asname or alias.name: n.module for n in imports for alias in n.names}


def test_type_checkers_see_the_names_that_exist_at_run_time():
    assert typed_names() == napari_vqad._WHERE
    assert set(napari_vqad.__all__) == {*napari_vqad._WHERE, "__version__"}


def test_type_checkers_do_not_see_getattr():
    """They would take each misspelt name for one that exists."""
    tree = ast.parse(Path(napari_vqad.__file__).read_text(encoding="utf-8"))
    (hidden,) = (n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "not TYPE_CHECKING")
    assert [n.name for n in hidden.body if isinstance(n, ast.FunctionDef)] == ["__getattr__"]
    assert "__getattr__" not in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}


def test_type_checkers_see_that_settings_have_defaults():
    """They know a default of `Field` as the keyword alone, and would ask for every setting in `Settings(k=2)`."""
    sources = {inspect.getsourcefile(cls) for cls in Settings.__mro__ if issubclass(cls, SharedSettings)}
    fields = [
        node.value
        for source in sources
        for node in ast.walk(ast.parse(Path(source).read_text(encoding="utf-8")))
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.value, ast.Call)
        and node.target.id in Settings.model_fields
    ]
    assert len(fields) > 20
    assert not [ast.unparse(f) for f in fields if "default" not in {k.arg for k in f.keywords}]


def test_each_public_name_is_defined_in_the_module_that_is_named():
    assert {name: getattr(napari_vqad, name).__module__ for name in napari_vqad._WHERE} == napari_vqad._WHERE


@pytest.mark.parametrize(
    ("method", "slices"), [("light", None), ("regenerative", None), ("anchored", (8, 10))], ids=str
)
def test_a_result_fits_its_schema(head, tiny_bundle, read, method, slices):
    settings = QUICK.model_copy(update={"method": method, "slices": slices})
    result = analysis(head, tiny_bundle, settings)
    written = json.loads(json.dumps(result.as_dict()))
    assert written == result.as_dict(), "something is no plain JSON"
    assert read(json.dumps(written)) == written
    assert Settings(**written["settings"]) == settings
    n = len(result.explorer.grid)
    assert {len(written[f"slice_{name}"]) for name in ("numbers", "mm", "scores", "flagged")} == {n}
    assert len(written["sample_scores"]) == n


def test_a_result_with_findings_and_verdicts_fits_its_schema(head, tiny_bundle, read):
    result = analysis(head, tiny_bundle)
    first = result.findings()[0]
    result.review.set_findings(result.findings())
    result.review.set_verdict(first, "accepted")
    content = result.as_dict()
    assert content["findings"][0]["verdict"] == "accepted"
    read(json.dumps(content))


def test_a_result_of_a_reopened_study_fits_its_schema(head, tiny_bundle, read, tmp_path):
    result, path = analysis(head, tiny_bundle), tmp_path / "head.vqad"
    napari_vqad.save_study(path, result.explorer, result.mask, result.mask_note)
    study = napari_vqad.open_study(path, result.volume, bundle=result.explorer.bundle)
    again = napari_vqad.Result(study.explorer, study.volume, study.mask, study.mask_note, reopened=study.saved)
    content = read(json.dumps(again.as_dict()))
    assert content["study"]["napari-vqad"] == napari_vqad.__version__
    assert content["slice_scores"] == result.as_dict()["slice_scores"]


def test_a_file_of_version_0_1_fits_the_schema(read):
    text = (OF_0_1 / "result.json").read_text(encoding="utf-8")
    content, before = read(text), json.loads(text)
    assert content["units"].pop("evidence_peaks") == {"nll": "nats"}
    for finding in content["findings"]:
        finding["nll_peak_nats"] = finding.pop("evidence_peaks")["nll"]
    assert content["findings"]
    assert content == before, "nothing else has changed"


@pytest.mark.parametrize("where", ["", "fitness", "bundle", "settings", "thresholds", "units", "written"])
def test_the_schema_refuses_what_it_does_not_know(read, where):
    content = json.loads((OF_0_1 / "result.json").read_text(encoding="utf-8"))
    (content[where] if where else content)["more"] = {}
    with pytest.raises(napari_vqad.InputError, match="more"):
        read(json.dumps(content))


def test_the_schema_asks_for_every_key(read):
    content = napari_vqad.read_result(OF_0_1 / "result.json")  # an old file, with the keys of today
    for name in ResultDict.__annotations__.keys() - {"edited"}:  # earlier versions knew no edited scans
        with pytest.raises(napari_vqad.InputError, match=rf"{name}: Field required"):
            read(json.dumps({key: value for key, value in content.items() if key != name}))


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda s: s.__name__)
def test_every_key_is_documented(schema):
    inherited = result_schema.ScanIdentity.__annotations__ if schema is ResultDict else {}
    lines = schema.__doc__.split("Attributes:")[1].splitlines()
    documented = [line.strip().partition(":")[0] for line in lines if line.startswith(" " * 8) and line[8] != " "]
    assert documented == [name for name in schema.__annotations__ if name not in inherited]


def test_schema_table_and_settings_have_the_same_keys():
    assert tuple(FindingDict.__annotations__) == COLUMNS


def test_thresholds_are_those_of_the_settings(head, tiny_bundle):
    written = analysis(head, tiny_bundle).as_dict()
    assert set(written["thresholds"]) == {"lambda_s", "lambda_p", "flag_voxels", "flag_slices"}


def test_progress_is_called_with_lines(head, tiny_bundle):
    lines: list[str] = []
    analysis(head, tiny_bundle, progress=lines.append)
    assert all(isinstance(line, str) for line in lines)
    assert any("slices" in line for line in lines)


def test_old_names_warn_and_work(head, tiny_bundle):
    lines: list[str] = []
    with pytest.warns(DeprecationWarning, match="progress"):
        result = analysis(head, tiny_bundle, report=lines.append)
    assert lines
    with pytest.warns(DeprecationWarning, match="as_dict"):
        assert result.numbers() == result.as_dict()


def test_a_mask_unpacks_into_voxels_and_note(tiny_clips):
    import numpy as np

    from napari_vqad.io.clips import Clip

    mask = napari_vqad.make_mask(Clip("walk", np.zeros((3, 32, 40), np.uint8)).volume())
    voxels, note = mask
    assert voxels is mask.voxels
    assert note is mask.note
    assert voxels.all()


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"scan": 1}', "[" * 5000])
def test_what_is_no_result_is_refused_with_one_sentence(read, text):
    with pytest.raises(napari_vqad.InputError, match=r"is not a result of this program: .*\.$") as refused:
        read(text)
    assert "\n" not in str(refused.value)


def test_a_result_that_is_missing_is_refused(tmp_path):
    with pytest.raises(napari_vqad.InputError, match=r"none\.json"):
        napari_vqad.read_result(tmp_path / "none.json")
