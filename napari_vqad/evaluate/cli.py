"""`napari-vqad evaluate …`: commands that print tables."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import torch

from napari_vqad.detectors import presets
from napari_vqad.detectors.bundle import Bundle, read_config, same_grid
from napari_vqad.detectors.library import find
from napari_vqad.detectors.pca import PCA
from napari_vqad.detectors.settings import Settings, settings_from
from napari_vqad.detectors.tuned import FILE as TUNED_FILE
from napari_vqad.errors import InputError
from napari_vqad.evaluate import (
    comparison,
    fitness,
    gallery_command,
    mnist_command,
    novelty_speed_command,
    ped2,
    pitfall_command,
    qspace_command,
    reconstruction,
    slice_detection,
    spread_command,
    steps_command,
    sweep_command,
    table_command,
    tuning,
)
from napari_vqad.evaluate.bundles import known, load_bundles
from napari_vqad.evaluate.case_pages import CasePages
from napari_vqad.evaluate.cases import PER_SUBJECT, beside, folder_cases, simulated_cases
from napari_vqad.evaluate.experiment import collect, kind_table, overall_table, write_json
from napari_vqad.evaluate.lesion_detection import evaluate_scan, table
from napari_vqad.evaluate.score_histograms import ScoreHistograms
from napari_vqad.evaluate.threshold_options import add_threshold_options, own_thresholds
from napari_vqad.evaluate.variants import Over, ablation, check_methods, method_variants, methods_of, settings_of
from napari_vqad.files.atomic import write_text
from napari_vqad.files.space import check_file, check_folder
from napari_vqad.imaging.template import Template
from napari_vqad.nets.device import pick_device
from napari_vqad.nets.vq.registry import make_tokenizer
from napari_vqad.nets.weights import load_weights
from napari_vqad.resources import DEFAULT_BUNDLE
from napari_vqad.settings import Pooling, Scale
from napari_vqad.train.data import load_stack

COMMANDS = (
    sweep_command,
    spread_command,
    steps_command,
    gallery_command,
    table_command,
    pitfall_command,
    mnist_command,
    novelty_speed_command,
    qspace_command,
)


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add `evaluate` to the command line."""
    evaluate = commands.add_parser("evaluate", help="measure a bundle on labelled scans")
    kinds = evaluate.add_subparsers(required=True, metavar="WHAT")
    testset = kinds.add_parser("testset", help="evaluate on a folder of cases with masks, labels and cases.csv")
    testset.add_argument("--cases", nargs="+", metavar="NAME", help="only these cases")
    testset.set_defaults(func=run_testset)
    validation = kinds.add_parser("validation", help="evaluate on validation subjects with simulated anomalies")
    validation.set_defaults(func=run_validation)
    findings = kinds.add_parser(
        "findings", help="count findings; reads NAME_mask, and NAME_label or NAME_gold, beside a scan"
    )
    findings.add_argument("scans", type=Path, nargs="+")
    findings.add_argument("--method", help="default: the bundle's first method")
    findings.set_defaults(func=run_findings)
    fit = kinds.add_parser("fitness", help="check whether scans fit the model; reads NAME_mask beside a scan")
    fit.add_argument("scans", type=Path, nargs="+")
    fit.add_argument("--method", help="default: the bundle's quickest method")
    fit.set_defaults(func=run_fitness)
    flagged = kinds.add_parser("slices", help="evaluate flagged slices on the data of validation")
    flagged.add_argument("data", type=Path)
    flagged.add_argument("--method", help="default: the bundle's quickest method")
    flagged.add_argument("--flag-slices", default=Settings().flag_slices, help="healthy percentile")
    flagged.set_defaults(func=run_slices)
    grid = kinds.add_parser("grid", help="compare all bundles of a folder with all their methods")
    grid.add_argument("models", type=Path, nargs="?", help="folder of bundles; default: those installed")
    grid.add_argument("--data", type=Path, required=True, help="folder of test cases, as for testset")
    grid.add_argument("--validation", type=Path, required=True, help="healthy scans or packed files, as for validation")
    grid.add_argument("-S", "--n-restorations", type=int, default=Settings().n_restorations)
    grid.add_argument("--bundles", nargs="+", metavar="NAME", help="names or folders; default: all")
    grid.add_argument("--subjects", type=int, metavar="N", help="only the first N validation subjects")
    grid.set_defaults(func=run_grid)
    again = kinds.add_parser("reconstructions", help="compare error and sharpness of tokenizers on healthy scans")
    again.add_argument("bundles", nargs="+", help="names or folders of bundles")
    again.add_argument("--data", type=Path, required=True, help="healthy scans or packed files, as for validation")
    again.add_argument("--picture", type=Path, help="file for a figure of slices, as PNG")
    again.set_defaults(func=run_reconstructions)
    clips = kinds.add_parser("ped2", help="compare bundles of clips on UCSD Ped2, split as in Ishii 2023")
    clips.add_argument("bundles", nargs="*", help="names or folders; default: all installed bundles of clips")
    clips.add_argument("--data", type=Path, required=True, help="folder with training_NN.npz and testing_NN.npz")
    clips.add_argument("-S", "--n-restorations", type=int, default=5, help="default: 5, as in the author's code")
    add_threshold_options(clips, words="a healthy percentile; default: tuned", default=None)
    clips.add_argument("--write-tuned", action="store_true", help="write the chosen λ into each bundle, as tuned.json")
    clips.add_argument("--histograms", type=Path, help="file for histograms of frame scores, as PNG")
    clips.add_argument("--pooling", default="2d", choices=get_args(Pooling), help="default: 2d, within each frame")
    clips.add_argument("--frame-score", default="mean", choices=get_args(Over), help="of the pixel scores of a frame")
    clips.set_defaults(func=run_ped2)
    swept, *figures = (c.add_command(kinds) for c in COMMANDS)
    for parser in (grid, clips):
        parser.add_argument("--methods", nargs="+", default=[], help="only these methods")
        parser.add_argument("--json", type=Path, help="file for the results, as JSON")
        parser.add_argument("--keep", type=Path, help="folder for results of cases, to continue later")
        parser.add_argument(
            "--percentiles",
            nargs="*",
            type=float,
            default=tuning.PERCENTILES if parser is clips else (),
            metavar="P",
            help="candidates for λ_s and λ_p, as percentiles of the NLL of all codes of the validation part; the one "
            "with the best balanced accuracy there is chosen for each model and method. If empty, λ is not tuned",
        )
    for parser in (testset, validation, findings, fit, flagged):
        parser.add_argument("--bundle", default=DEFAULT_BUNDLE)
    for parser in (testset, validation, grid, findings):
        presets.add_option(parser)
    for parser in (testset, validation, grid):
        parser.add_argument("--pooling", choices=get_args(Pooling), help="2d as in the papers; default: the preset's")
        parser.add_argument(
            "--score", choices=get_args(Scale), help="intensity as in the papers; default: the preset's"
        )
    for parser in (testset, validation, findings, fit, flagged, grid, again, clips, swept, *figures):
        parser.add_argument("--device", default="auto")
        parser.add_argument("--threads", type=int, default=os.cpu_count())
    for parser in (testset, validation):
        parser.add_argument("data", type=Path)
        parser.add_argument("--methods", nargs="+", help="only these methods; default: all of the bundle")
        add_threshold_options(parser)
        parser.add_argument("-S", "--n-restorations", type=int, default=Settings().n_restorations)
        parser.add_argument("-k", type=float, default=Settings().k)
        parser.add_argument("--ablation", metavar="METHOD", help="ablation study instead, which ends with this method")
        parser.add_argument("--pca-data", type=Path, help="training scans; adds the linear baseline with 60 components")
        parser.add_argument("--json", type=Path, help="file for the rows, as JSON")
        parser.add_argument("--pictures", type=Path, help="folder for pages that show all cases")


def run_findings(args: argparse.Namespace) -> int:
    """Print the findings of scans at the threshold of one finding per healthy head."""
    bundle = _load(args)
    settings = settings_from(_with_preset(args, bundle, settings_of(bundle, args.method)))
    rows = []
    for scan in args.scans:
        stem = scan.name.split("_t1")[0].split("_SS")[0].split("_flair")[0]
        mask, label = (beside(scan, stem, names) for names in (("mask",), ("label", "gold")))
        rows.append(evaluate_scan(bundle, settings, scan, mask, label))
        print(rows[-1], flush=True)
    print(f"\n{table(rows)}")
    return 0


def run_fitness(args: argparse.Namespace) -> int:
    """Print the fitness verdicts on scans."""
    bundle, rows = _load(args), []
    settings = settings_from(dict(settings_of(bundle, args.method or bundle.detector.variants[-1])))
    for scan in args.scans:
        rows.append(
            fitness.evaluate_fitness(bundle, settings, scan, beside(scan, scan.name.split("_t1")[0], ("mask",)))
        )
        verdict = rows[-1].fitness.verdict if rows[-1].fitness else rows[-1].refused
        print(f"{scan.name}: {verdict}", flush=True)
    print(f"\n{fitness.table(rows)}")
    return 0


def run_slices(args: argparse.Namespace) -> int:
    """Evaluate slice scores on validation subjects with simulated anomalies."""
    bundle = _load(args)
    asked = settings_of(bundle, args.method or bundle.detector.variants[-1])
    settings = settings_from({**asked, "flag_slices": args.flag_slices})
    spec = bundle.config.grid
    cases = simulated_cases(load_stack(args.data, "validation", spec, bundle.template), spec)
    print(slice_detection.table(slice_detection.collect(bundle, settings, cases)))
    return 0


def run_testset(args: argparse.Namespace) -> int:
    """Evaluate a bundle on a folder of cases."""
    bundle = _load(args)
    return _run(args, bundle, folder_cases(args.data, bundle.config.grid, bundle.template, args.cases))


def run_validation(args: argparse.Namespace) -> int:
    """Evaluate a bundle on validation subjects with simulated anomalies."""
    bundle = _load(args)
    spec = bundle.config.grid
    return _run(args, bundle, simulated_cases(load_stack(args.data, "validation", spec, bundle.template), spec))


def run_grid(args: argparse.Namespace) -> int:
    """Compare bundles on the same heads."""
    torch.set_num_threads(args.threads)
    lines: list[comparison.ModelResult] = []
    if args.json:
        check_file(args.json)
    # Load all bundles first, so that a damaged one does not stop the command after an hour.
    bundles = load_bundles(args.models, args.bundles or (), args.device)
    check_methods(bundles, args.methods)
    given = {name: getattr(args, name) for name in ("n_restorations", "pooling", "score")}
    settings = [bundle.validated(settings_from(_with_preset(args, bundle, given))) for bundle in bundles]
    before: Bundle | None = None
    for bundle, of_bundle in zip(bundles, settings, strict=True):
        spec = bundle.config.grid
        print(bundle.title, flush=True)
        # Heads are aligned once for consecutive bundles with the same grid and template.
        if before is None or not same_grid(before.folder, bundle.folder):
            stack = load_stack(args.validation, "validation", spec, bundle.template)
            subjects = list(
                islice(simulated_cases(stack, spec), PER_SUBJECT * args.subjects if args.subjects else None)
            )
            cases = list(folder_cases(args.data, spec, bundle.template))
        before = bundle
        lines += comparison.compare_models(
            bundle, subjects, cases, of_bundle, tuple(args.methods), _say, "max", args.keep, args.percentiles
        )
        if args.json:  # after each bundle, in case the user stops the command
            write_text(args.json, json.dumps(comparison.as_json(lines), indent=1) + "\n")
    print(f"\n{comparison.table(lines)}\n\n{comparison.scan_table(lines)}\n\n{comparison.tuning_tables(lines)}")
    return 0


def run_reconstructions(args: argparse.Namespace) -> int:
    """Compare tokenizers on the validation scans."""
    torch.set_num_threads(args.threads)
    if args.picture:
        check_file(args.picture)
    folders, device = [find(name) for name in args.bundles], pick_device(args.device)
    configs = [read_config(folder) for folder in folders]
    spec = configs[0].grid
    if not all(same_grid(folders[0], other) for other in folders[1:]):
        raise InputError("Tokenizers of different grids or templates cannot be compared slice by slice.")
    tokenizers = [
        load_weights(make_tokenizer(config.tokenizer), folder / "tokenizer.safetensors").to(device)
        for folder, config in zip(folders, configs, strict=True)
    ]
    template = Template.load(folders[0]) if spec.aligned else None
    stack, found = load_stack(args.data, "validation", spec, template).of_brain(), []
    for tokenizer, config in zip(tokenizers, configs, strict=True):
        found.append(reconstruction.reconstructed(config.title, tokenizer, stack, device))
    print(reconstruction.table(found))
    if args.picture:
        reconstruction.write_picture(reconstruction.draw(stack, found), args.picture)
    return 0


def run_ped2(args: argparse.Namespace) -> int:
    """Compare bundles on the clips of UCSD Ped2."""
    torch.set_num_threads(args.threads)
    given = {name: getattr(args, name) for name in ("n_restorations", "pooling", *own_thresholds())}
    settings = settings_from({name: value for name, value in given.items() if value is not None})
    for path in (args.json, args.histograms):
        if path:
            check_file(path)
    bundles = [Bundle.load(folder, args.device) for folder in args.bundles or known(None, "clip")]
    if not bundles:
        raise InputError("No bundle of clips comes along; give one.")
    check_methods(bundles, args.methods)
    for bundle in bundles if args.write_tuned else ():
        check_folder(bundle.folder, [TUNED_FILE])  # report errors before the work starts
    lines: list[comparison.ModelResult] = []
    histograms = ScoreHistograms()
    for bundle in bundles:
        print(bundle.title, flush=True)
        chosen = tuple(args.methods), args.frame_score, _say, args.keep, args.percentiles, histograms.add
        of_bundle = ped2.lines_of(bundle, args.data, settings, *chosen)
        lines += of_bundle
        if args.write_tuned:
            found = comparison.tuned_thresholds(bundle, of_bundle, ped2.TUNED_ON)
            write_text(bundle.folder / TUNED_FILE, found.model_dump_json(indent=1) + "\n")
        if args.json:  # after each bundle, in case the user stops the command
            write_text(args.json, json.dumps(comparison.as_json(lines), indent=1) + "\n")
    print(f"\n{comparison.table(lines, 'frame', 3)}\n\n{ped2.paper_table(lines)}")
    print(f"\n{comparison.tuning_tables(lines)}")
    if args.histograms:
        histograms.write(args.histograms)
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def _with_preset(args: argparse.Namespace, bundle: Bundle, given: Mapping[str, Any]) -> dict[str, Any]:
    return presets.with_preset(args.preset, bundle.config.grid.voxel_ml, given)


def _load(args: argparse.Namespace) -> Bundle:
    torch.set_num_threads(args.threads)
    return Bundle.load(args.bundle, args.device)


def _run(args: argparse.Namespace, bundle: Bundle, cases) -> int:
    names = (*own_thresholds(), "n_restorations", "k", "pooling", "score")
    given = {name: getattr(args, name) for name in names}
    settings = bundle.validated(settings_from(_with_preset(args, bundle, given)))
    if args.json:  # report errors before the work starts
        check_file(args.json)
    if args.pictures:
        check_folder(args.pictures, ["page.png"])
    pca = None
    if args.pca_data:
        pca = PCA.fit(load_stack(args.pca_data, "train", bundle.config.grid).slices())
    started = time.monotonic()
    album = CasePages() if args.pictures else None
    look = album.add if album else None
    linear = pca is not None or bundle.linear is not None
    if args.ablation and (bundle.linear is None or not (bundle.places and bundle.places.maps)):
        raise InputError(
            f"{bundle.name} knows no places, and has nothing to take away; give an aligned, calibrated bundle."
        )
    check_methods([bundle], args.methods or ())
    methods = methods_of(bundle.detector, args.methods or ())
    ways = ablation(args.ablation) if args.ablation else method_variants(bundle.detector, methods, linear)
    rows = collect(bundle, cases, settings, ways, pca, _say, look).rows(ways)
    print(f"\n{overall_table(rows)}\n\n{kind_table(rows)}\n\n{time.monotonic() - started:.0f} s")
    if args.json:
        about = {"bundle": bundle.name, "sha256": bundle.hash, "settings": settings.model_dump()}
        write_json(rows, args.json, about)
    if album:
        album.write(args.pictures)
    return 0
