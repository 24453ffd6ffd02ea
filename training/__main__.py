"""Command line of ``python -m training``. Parses and prints; the work is in `training.job`."""

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from data.command import command


def main(arguments: list[str] | None = None) -> int:
    """Run the command; exit status 0, or 2 with one message on stderr when the input can't be used."""
    parser = argparse.ArgumentParser(
        prog="python -m training", description="Fine-tune a base on a few texts, or teach a base."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="hold out, choose the steps, refit on all, write runs/NAME")
    run.add_argument("config", help="a YAML file; presets are in configs/")
    run.add_argument("--originals", help="folder, .jsonl or datasets id in place of the configuration's")
    run.add_argument("--name", help="name of the run (default: the configuration's, or that of --originals)")
    run.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override any setting; repeatable"
    )
    run.add_argument(
        "--report", action="store_true", help="also draw samples, score them and write report.html"
    )
    existing = run.add_mutually_exclusive_group()
    existing.add_argument(
        "--resume", dest="existing", action="store_const", const="resume", help="continue an interrupted run"
    )
    existing.add_argument(
        "--overwrite",
        dest="existing",
        action="store_const",
        const="overwrite",
        help="replace a run of this name",
    )
    existing.add_argument(
        "--refresh",
        dest="existing",
        action="store_const",
        const="refresh",
        help="reprint a finished run of unchanged inputs; else continue or replace it",
    )
    base = commands.add_parser("base", help="teach a base to tell stories from a brief and its beats")
    steps = base.add_subparsers(dest="step", required=True)
    gather = steps.add_parser("prepare", help="gather folders of stories into one file")
    gather.add_argument("config", help="a YAML file such as configs/base/stories.yaml")
    gather.add_argument(
        "folders", nargs="+", type=Path, metavar="folder", help="folder of folders with part-NN.txt"
    )
    gather.add_argument(
        "--test",
        action="append",
        default=[],
        metavar="FILE",
        help='for testing only: a file name, or "last"; repeatable',
    )
    gather.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    gather.add_argument("--apart", help="texts that no story may share eight words in a row with")
    adapt = steps.add_parser("adapt", help="train the adapter; an interrupted training is continued")
    adapt.add_argument("config", help="a YAML file such as configs/base/stories.yaml")
    adapt.add_argument("--steps", type=int, metavar="N", help="stop after N more steps, with a checkpoint")
    candidates = steps.add_parser(
        "candidates", help="tell stories and keep all candidates of each paragraph, to be rated"
    )
    candidates.add_argument("config", help="a YAML file such as configs/base/preferences.yaml")
    candidates.add_argument("out", type=Path, help="file to write: .jsonl, or .jsonl.xz")
    candidates.add_argument(
        "model", nargs="?", default="stories", help="what tells them (default: %(default)s)"
    )
    candidates.add_argument(
        "--originals", default="data/seeds", help="half of the briefs are like theirs (default: %(default)s)"
    )
    candidates.add_argument("--briefs", type=int, default=64, help="stories to tell (default: %(default)s)")
    judge_base = steps.add_parser(
        "eval", help="bits per byte of unseen texts, stories from unseen briefs and beats"
    )
    judge_base.add_argument("config", help="a YAML file such as configs/base/stories.yaml")
    judge_base.add_argument(
        "model", nargs="?", default="stories", help="what to measure (default: %(default)s)"
    )
    judge_base.add_argument(
        "--originals", default="data/seeds", help="texts in one style (default: %(default)s)"
    )
    judge_base.add_argument(
        "--briefs", type=int, default=64, help="unseen briefs of each kind (default: %(default)s)"
    )
    paired = steps.add_parser(
        "paired", help="what a run keeps of its briefs, beside what its untuned base keeps of the same ones"
    )
    paired.add_argument("run", help="folder of a finished run")
    paired.add_argument("--briefs", type=int, default=32, help="how many (default: %(default)s)")
    compare = commands.add_parser(
        "ablate", help="what each setting of a tuning is worth, over several small corpora"
    )
    compare.add_argument("config", help="a YAML file: what every variant starts from")
    compare.add_argument(
        "corpora", nargs="+", type=Path, metavar="corpus", help="texts in one manner, as for run"
    )
    compare.add_argument(
        "--only", action="append", metavar="VARIANT", help="this variant; repeatable (default: all)"
    )
    compare.add_argument("--texts", type=int, metavar="N", help="only the first N texts of each corpus")
    style = commands.add_parser(
        "style", help="learn the spaces of the style vote from a corpus of many authors"
    )
    style.add_argument(
        "--corpus", type=Path, required=True, help="folder of .jsonl.xz with authors or generators"
    )
    for sub in (compare, gather, adapt, candidates, judge_base):
        sub.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    options = parser.parse_args(arguments)
    work = {
        "run": _run,
        "style": _style,
        "ablate": _ablate,
        "base": _base,
    }[options.command]
    return command(lambda: work(options), lambda: _interrupted(options))


def _interrupted(options: argparse.Namespace) -> str:
    """What an interruption leaves, and how to go on."""
    if options.command not in ("run", "ablate") and getattr(options, "step", "") != "adapt":
        return "interrupted"
    asked = getattr(options, "existing", "refresh")
    again = {"refresh": "", "resume": "", "overwrite": " with --resume in place of --overwrite"}.get(
        asked, " with --resume"
    )
    return f"interrupted; what was done is kept: the same command{again} continues"


def _base(options: argparse.Namespace) -> None:
    from training import processes
    from training.base.config import load_base_config
    from training.settings import parse_override

    if options.step == "paired":
        from training.base.measure import compare, table

        out = _measured_into(options.run, "-paired")
        print(f"{table(compare(options.run, out, briefs=options.briefs))}\nstories: {out}")
        return
    config = load_base_config(options.config, dict(parse_override(item) for item in options.set))
    if options.step == "prepare":
        from training.base.prepare import prepare, show

        found = prepare(config, options.folders, options.test, options.apart, overwrite=options.overwrite)
        print(f"{show(found)}\nwritten: {config.stories}")
    elif options.step == "adapt":
        from training.base.adapt import adapt

        folder = adapt(config, steps=options.steps)
        if processes.is_first():
            print(folder)
    elif options.step == "candidates":
        from training.base.choices import candidates

        drawn = candidates(config, options.model, options.out, options.originals, options.briefs)
        print(f"{sum(len(one.choices) for one in drawn)} paragraphs of {len(drawn)} stories: {options.out}")
    else:
        from training.base.measure import evaluate, table

        out = _measured_into(options.model)
        print(
            f"{table(evaluate(config, options.model, out, originals=options.originals, briefs=options.briefs))}\nstories: {out}"
        )


def _measured_into(model: str, kind: str = "") -> Path:
    """The folder for the figures of ``model``, which is a name or a path."""
    return Path("runs/base-eval") / (re.sub(r"[^\w.-]+", "-", model).strip("-.") + kind)


def _style(options: argparse.Namespace) -> None:
    from training.style import fit_style

    figures = fit_style(options.corpus)
    print(
        f"learned from {figures['authors']:.0f} authors; on {figures['trials']:.0f} texts of authors that a half was not learned "
        f"from, against their peers: AUC {figures['auc']:.3f}"
    )


def _ablate(options: argparse.Namespace) -> None:
    from training.ablate import VARIANTS, ablate, table
    from training.config import load_config
    from training.settings import parse_override

    if unknown := set(options.only or ()) - set(VARIANTS):
        raise ValueError(
            f"no variant is called {', '.join(sorted(unknown))}; there are {', '.join(VARIANTS)}"
        )
    variants = {name: VARIANTS[name] for name in options.only or VARIANTS}
    overrides = dict(parse_override(item) for item in options.set)
    if fixed := sorted({key for settings in variants.values() for key in settings} & set(overrides)):
        raise ValueError(f"--set {fixed[0]}: each variant has its own; choose variants with --only")
    config = load_config(options.config, overrides)
    print(table(ablate(config, options.corpora, variants, texts=options.texts, progress=True)))


def _run(options: argparse.Namespace) -> None:
    from training import processes
    from training.config import load_config, name_from
    from training.settings import parse_override

    overrides: dict[str, Any] = dict(parse_override(item) for item in options.set)
    if options.originals is not None:
        overrides["originals"] = options.originals
    if options.name is not None:
        overrides["name"] = options.name
    elif options.originals is not None:
        # Another user's texts must not land in the preset's run.
        overrides.setdefault("name", name_from(options.originals))
    config = load_config(options.config, overrides)
    from training.current import current_run

    # Before anything heavy is imported: an unchanged run answers at once.
    run = current_run(config) if options.existing == "refresh" and options.report else None
    if run is not None:
        print("inputs unchanged; nothing to do")
    else:
        from training.job import train

        run = train(config, existing=options.existing or "refuse", report=options.report, progress=True)
    if not processes.is_first():
        return
    if not options.report:
        print(f"run: {run}\nnext: python -m inference report {run}")
        return
    from inference.summary import read_metrics, table

    print(f"\n{table(read_metrics(run))}\n\nreport: {run / 'report.html'}")


if __name__ == "__main__":
    sys.exit(main())
