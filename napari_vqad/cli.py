"""Find anomalies in 3D scans; train, calibrate and evaluate the models that find them."""

from __future__ import annotations

import argparse
import sys
import types
import typing
from contextlib import suppress
from pathlib import Path

from napari_vqad.detectors import presets
from napari_vqad.detectors.settings import Settings, read_settings, settings_from
from napari_vqad.settings import flag
from napari_vqad.terminal.console import run, until_it_ends
from napari_vqad.text import printable

SHORT = {"n_restorations": "-S", "k": "-k"}


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit code. An invalid input is one sentence on stderr and exit code 2."""
    words = sys.argv[1:] if argv is None else argv

    def command() -> int:
        # Training and evaluation import torch and more; the parsers of other commands must not wait for that.
        args = build_parser(set(words)).parse_args(words)
        return args.func(args)

    return run(command, debug="--debug" in words)


class Parser(argparse.ArgumentParser):
    """A parser that raises an error if its help cannot be written; argparse itself ignores the error."""

    def print_help(self, file: typing.Any = None) -> None:
        """Write the help to a file, or to stdout if there is one."""
        if (stream := file or sys.stdout) is not None:
            stream.write(self.format_help())


def build_parser(words: set[str]) -> argparse.ArgumentParser:
    """Make the parser of all commands; `train`, `calibrate` and `evaluate` get options only if `words` names them."""
    parser = Parser(prog="napari-vqad", description=__doc__)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="open the viewer on a sample head; without a screen, write its maps")
    demo.add_argument("--sample", choices=("lesions", "healthy"), default="lesions", help="which simulated head")
    demo.add_argument("--no-viewer", action="store_true", help="write files even if there is a screen")
    demo.add_argument("-o", "--out", default="vqad-demo", help="folder for the files")
    _overwrite_option(demo)
    _model_options(demo)
    demo.set_defaults(func=run_demo)

    score = commands.add_parser("score", help="score one scan and write its maps")
    score.add_argument(
        "scan", type=Path, help="NIfTI file, 3D, or 4D of diffusion; or a folder with DICOM, or a file of a series"
    )
    score.add_argument("-o", "--out", required=True, help="folder for the maps; created if missing")
    score.add_argument("--mask", type=Path, help="NIfTI file of the brain mask; computed if not given")
    score.add_argument("--series", metavar="N", help="number or UID, for a folder with several DICOM series")
    score.add_argument(
        "--b-values", type=Path, metavar="FILE", help="of a diffusion scan: .bval, or MRtrix's .b; default: beside it"
    )
    score.add_argument("--directions", type=Path, metavar="FILE", help="of a diffusion scan: .bvec; default: beside it")
    score.add_argument("--dicom", action="store_true", help="also write findings.dcm and score.dcm, for a DICOM scan")
    score.add_argument("--strict", action="store_true", help="exit with code 3 if the scan may not fit the model")
    _overwrite_option(score)
    _model_options(score)
    _settings_options(score)
    score.set_defaults(func=run_score)

    models = commands.add_parser("models", help="list the installed models, and those that can be fetched")
    models.set_defaults(func=run_models)
    get = models.add_subparsers(metavar="get").add_parser("get", help="fetch a model from a folder or a web address")
    get.add_argument("name", help="name of the model, as listed by `napari-vqad models`")
    get.add_argument(
        "--from",
        dest="source",
        required=True,
        metavar="SOURCE",
        help="folder or address, laid out like models/ in the repository",
    )
    get.set_defaults(func=run_get)

    bench = commands.add_parser("bench", help="measure the speed of restorations and sliders on this machine")
    bench.add_argument("--quick", action="store_true", help="fewer slices and rounds: a few minutes on a CPU")
    bench.add_argument("--notebook", action="store_true", help="measure the sliders in JupyterLab, and nothing else")
    bench.add_argument("--json", type=Path, help="write all measurements to this file")
    _model_options(bench)
    bench.set_defaults(func=run_bench)

    if words & {"train", "calibrate"}:
        from napari_vqad.train.cli import add_commands as add_training

        add_training(commands)
    else:
        commands.add_parser("train", help="train a tokenizer, then a prior, on healthy scans")
        commands.add_parser("calibrate", help="write a bundle's healthy quantiles and its card")
    if "evaluate" in words:
        from napari_vqad.evaluate.cli import add_commands as add_evaluation

        add_evaluation(commands)
    else:
        commands.add_parser("evaluate", help="measure a bundle on labelled scans")
    for command in commands.choices.values():
        # --debug is allowed after the command, too. A default of the subparser would overwrite one given before it.
        command.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks")
    return parser


def run_demo(args: argparse.Namespace) -> int:
    """Show the sample in the viewer, or write its maps into a folder."""
    from napari_vqad.resources import DEFAULT_BUNDLE
    from napari_vqad.scoring import has_screen, sample_scan, score

    bundle = args.bundle or DEFAULT_BUNDLE
    if not args.no_viewer and has_screen():
        from napari_vqad.ui import launch

        with until_it_ends():
            launch.run(args.sample, bundle=bundle, device=args.device)
        return 0
    if not args.no_viewer:
        print("There is no screen here for the viewer.")
    print(f"The sample is analysed and its maps are written to {args.out}.", flush=True)
    scan = sample_scan(args.sample)
    result = score(scan, args.out, bundle=bundle, device=args.device, overwrite=args.overwrite, progress=_show)
    print(f"\n{result.summary()}\nLook at {Path(args.out) / 'sheet.png'}.")
    return 0


def run_score(args: argparse.Namespace) -> int:
    """Score one scan and write its maps into a folder."""
    from napari_vqad.detectors.bundle import read_config
    from napari_vqad.detectors.library import find
    from napari_vqad.resources import DEFAULT_BUNDLE
    from napari_vqad.scoring import score

    given = read_settings(args.settings) if args.settings else {}
    flags = {name: getattr(args, name) for name in Settings.model_fields}
    voxel_ml = read_config(find(args.bundle or DEFAULT_BUNDLE)).grid.voxel_ml if args.preset else 1.0
    settings = settings_from(given | presets.with_preset(args.preset, voxel_ml, flags))
    result = score(
        args.scan,
        args.out,
        mask=args.mask,
        bundle=args.bundle or DEFAULT_BUNDLE,
        device=args.device,
        settings=settings,
        series=args.series,
        b_values=args.b_values,
        directions=args.directions,
        dicom=args.dicom,
        overwrite=args.overwrite,
        progress=_show,
    )
    print(f"\n{result.summary()}\nMaps, contact sheet and numbers are in {args.out}.")
    return 3 if args.strict and not result.explorer.fitness().fits else 0


def run_models(args: argparse.Namespace) -> int:
    """Print the installed models with size and folder, and the other models that the package knows."""
    from napari_vqad.detectors.known_models import described, known_models
    from napari_vqad.detectors.library import list_bundles

    here = {folder.name: folder for folder in list_bundles()}
    for name, folder in here.items():
        print(f"{name:16} {described(folder).size / 1e6:6.1f} MB  {folder}")
    for name, model in known_models().items():
        if name not in here:
            print(f"{name:16} {model.size / 1e6:6.1f} MB  not installed: napari-vqad models get {name} --from SOURCE")
    return 0


def run_get(args: argparse.Namespace) -> int:
    """Fetch a model."""
    from napari_vqad.detectors.fetch import fetch

    print(f"Wrote {fetch(args.name, args.source, report=_show)}")
    return 0


def run_bench(args: argparse.Namespace) -> int:
    """Measure speed and print a table of the results."""
    from napari_vqad.detectors.bundle import Bundle
    from napari_vqad.evaluate import speed_report
    from napari_vqad.files.space import check_file
    from napari_vqad.resources import DEFAULT_BUNDLE
    from napari_vqad.scoring import has_screen

    if args.json:
        check_file(args.json)  # fail before the work
    bundle = Bundle.load(args.bundle or DEFAULT_BUNDLE, args.device)
    if args.notebook:
        from napari_vqad.notebook import latency as in_notebook

        measured = in_notebook.run(str(bundle.folder), args.device, 1 if args.quick else 3, _show)
        print("\n" + "\n".join(speed_report.latency_table("in JupyterLab, in a browser", measured)))
        if args.json:
            speed_report.write({"notebook": measured}, args.json)
        return 0
    viewer = None
    if has_screen():
        from napari_vqad.ui import latency

        def viewer(rounds: int) -> dict:
            return latency.run(str(bundle.folder), args.device, rounds, _show)

    found = speed_report.run(bundle, args.quick, viewer, _show)
    print(f"\n{speed_report.table(found)}")
    if args.json:
        speed_report.write(found, args.json)
    return 0


def _overwrite_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--overwrite", action="store_true", help="replace the files of another scan in the folder")


def _model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", help="name or folder of the model")
    parser.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")


def _settings_options(parser: argparse.ArgumentParser) -> None:
    """Add one flag for each field of `Settings`; pydantic checks the values."""
    group = parser.add_argument_group("settings", "thresholds in the score's unit, or healthy percentiles such as p90")
    group.add_argument(
        "--settings", type=Path, metavar="FILE", help="JSON with settings, such as a result.json; flags take precedence"
    )
    presets.add_option(group)
    for name, field in Settings.model_fields.items():
        names = list(dict.fromkeys([flag(name), SHORT.get(name, flag(name))]))
        help_text = f"{field.description} Default: {field.default}.".replace("%", "%%")
        if field.annotation is bool:
            group.add_argument(*names, dest=name, action="store_true", default=None, help=help_text)
        elif typing.get_origin(field.annotation) is typing.Literal:
            group.add_argument(*names, dest=name, choices=typing.get_args(field.annotation), help=help_text)
        elif isinstance(field.annotation, types.UnionType) and tuple in map(
            typing.get_origin, typing.get_args(field.annotation)
        ):
            group.add_argument(*names, dest=name, nargs=2, metavar=("FIRST", "LAST"), help=help_text)
        else:
            group.add_argument(*names, dest=name, metavar=name.upper()[:8], help=help_text)


def _show(line: str) -> None:
    """Show progress on one line that is overwritten; without a terminal, print one line for each stage."""
    with suppress(OSError, ValueError):  # the work goes on even if nobody reads stderr
        if sys.stderr is None:
            return
        if sys.stderr.isatty():
            print(f"\r\033[K{printable(line)}", end="", file=sys.stderr, flush=True)
        elif (stage := line.partition(":")[0]) != _shown[-1]:
            _shown.append(stage)
            print(printable(stage), file=sys.stderr, flush=True)


_shown = [""]


if __name__ == "__main__":
    raise SystemExit(main())
