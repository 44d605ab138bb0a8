"""What the terminal gets: exit codes, one sentence, and nothing left behind by what is stopped."""

import os
import signal
import subprocess
import sys

import pytest

from napari_vqad.errors import InputError
from napari_vqad.terminal import console

HEARD = dict.fromkeys((signal.SIGTERM, signal.SIGHUP), signal.SIG_DFL) | {signal.SIGINT: signal.default_int_handler}
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="signals and devices of Linux")
# A score that writes for a minute, without the networks.
WRITING = """
import sys, time, types
from pathlib import Path
from napari_vqad.files.atomic import atomic_folder
fake = types.ModuleType("napari_vqad.scoring")
def score(scan, out, **_):
    with atomic_folder(Path(out)) as files:
        (files / "nll.nii.gz").write_text("half")
        print("ready", flush=True)
        time.sleep(60)
fake.score, fake.DEFAULT_BUNDLE = score, "tiny"
sys.modules["napari_vqad.scoring"] = fake
from napari_vqad.cli import main
raise SystemExit(main(["score", "scan.nii", "-o", sys.argv[1]]))
"""


def start(*words, env=None, **more):
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        stdout=more.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        env={**os.environ, **(env or {})},
        **more,
    )


def told(process):
    err = process.stderr.read().decode("utf-8", "replace")
    process.stderr.close()
    return process.wait(timeout=30), err


@LINUX
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_command_that_is_told_to_end_cleans_up(name, tmp_path):
    number = getattr(signal, name)  # heard, even where the tests themselves run under nohup or in the background
    process = start("-c", WRITING, tmp_path / "out", preexec_fn=lambda: signal.signal(number, HEARD[number]))
    assert process.stdout.readline() == b"ready\n"
    assert os.listdir(tmp_path / "out")
    process.send_signal(number)
    code, err = told(process)
    process.stdout.close()
    assert code == 128 + number
    assert err.strip() == "napari-vqad: stopped."
    assert os.listdir(tmp_path) == []


@LINUX
def test_under_nohup_the_end_of_a_terminal_is_not_heard(tmp_path):
    process = start("-c", WRITING, tmp_path / "out", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.3)
    process.terminate()
    assert told(process)[0] == 143
    process.stdout.close()


@LINUX
def test_handlers_are_there_only_while_a_command_runs():
    before = signal.getsignal(signal.SIGTERM)
    inside = []

    def command():
        inside.append(signal.getsignal(signal.SIGTERM))
        with console.until_it_ends():
            inside.append(signal.getsignal(signal.SIGTERM))
        return 0

    assert console.run(command) == 0
    assert callable(inside[0])
    assert inside[1] == signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) == before


@LINUX
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["--help"], ["score", "--help"]])
def test_a_pipe_that_nobody_reads_is_quiet(words, unbuffered):
    read, write = os.pipe()
    process = start("-m", "napari_vqad", *words, stdout=write, env={"PYTHONUNBUFFERED": unbuffered})
    os.close(write)
    os.close(read)
    assert told(process) == (console.BROKEN_PIPE, "")


@LINUX
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_output_is_one_sentence(unbuffered):
    with open("/dev/full", "wb") as full:
        code, err = told(start("-m", "napari_vqad", "--help", stdout=full, env={"PYTHONUNBUFFERED": unbuffered}))
    assert code == console.FAILED
    assert err.endswith("No space left on device.\n")
    assert len(err.splitlines()) == 1


@LINUX
def test_a_closed_output_is_quiet():
    process = start("-m", "napari_vqad", "--help", stdout=None, preexec_fn=lambda: os.close(1))
    assert told(process) == (0, "")


@pytest.mark.parametrize("encoding", ["cp1252", "cp932", "ascii"])
@pytest.mark.parametrize("words", [["--help"], ["score", "--help"]])
def test_help_in_a_code_page_without_greek(words, encoding):
    process = start("-m", "napari_vqad", *words, env={"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"})
    out = process.stdout.read()
    process.stdout.close()
    assert told(process) == (0, "")
    assert b"usage: napari-vqad" in out


C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@LINUX
def test_a_score_in_a_locale_without_utf_8(head, tiny_bundle, tmp_path):
    from napari_vqad.detectors.bundle import read_config
    from napari_vqad.io.nifti import write_map

    volume, mask = head
    write_map(tmp_path / "Müller é\udce9.nii.gz", volume.voxels, volume)
    write_map(tmp_path / "mask.nii.gz", mask.astype("u1"), volume)
    import shutil

    bundle = shutil.copytree(tiny_bundle, tmp_path / "Modèle")
    title = read_config(bundle).model_copy(update={"title": "Modèle λ 日本"})
    (bundle / "config.json").write_text(title.model_dump_json(), encoding="utf-8")
    words = ["score", tmp_path / "Müller é\udce9.nii.gz", "-o", tmp_path / "où", "--mask", tmp_path / "mask.nii.gz"]
    words += ["--bundle", bundle, "--device", "cpu", "-S", "1", "--method", "light", "--slices", "8", "10"]
    process = start("-m", "napari_vqad", *words, env=C_LOCALE)
    out = process.stdout.read()
    process.stdout.close()
    code, err = told(process)
    assert (code, "Traceback" in err) == (0, False), err
    assert b"slices are flagged" in out
    page = (tmp_path / "où" / "report.html").read_text(encoding="utf-8")
    assert "Müller é\ufffd" in page
    assert "Modèle λ 日本" in page


def test_errors_of_the_system_are_one_sentence(capsys):
    def refused():
        raise OSError(28, "No space left on device", "here\n.json")

    assert console.run(refused) == console.FAILED
    assert capsys.readouterr().err == "napari-vqad: here .json: No space left on device.\n"
    with pytest.raises(OSError, match="No space"):
        console.run(refused, debug=True)


def test_an_input_error_is_told_although_nobody_reads_the_output(monkeypatch, capsys):
    class Gone:
        closed = False

        def flush(self):
            raise BrokenPipeError

    def refused():
        raise InputError("no.nii does not exist.")

    monkeypatch.setattr(sys, "stdout", Gone())
    assert console.run(refused) == console.BROKEN_PIPE
    monkeypatch.undo()
    assert capsys.readouterr().err == "napari-vqad: no.nii does not exist.\n"
