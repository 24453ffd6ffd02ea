"""Command line of ``python -m inference``. Parses, reads, prints; the work is in the modules beside it."""

import argparse
import json
import random
import statistics
import sys
from pathlib import Path
from typing import Any

from data.brief import FIELDS, PLANS, Brief
from data.command import command
from inference.exports import FORMATS, export, format_of


def main(arguments: list[str] | None = None) -> int:
    """Run the command; exit status 0, or 2 with one message on stderr when the input can't be used."""
    options = _parser().parse_args(arguments)
    return command(lambda: options.work(options), lambda: options.interrupted)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m inference", description="Sample, score and report.")
    commands = parser.add_subparsers(dest="command", required=True)

    generate = commands.add_parser("generate", help="write new texts")
    generate.add_argument("source", help='run directory, model folder, "stories" or hub id')
    generate.add_argument("--n", type=int, default=1, help="how many texts (default 1)")
    for field in FIELDS:
        if field != "beats":
            generate.add_argument(f"--{field}", help=f"the brief's {field}")
    generate.add_argument(
        "--beats",
        metavar="FILE",
        help="text file with what happens, one line for each paragraph; -: standard input",
    )
    generate.add_argument(
        "--brief", metavar="FILE", help="YAML or JSON with the brief's fields, or a list of briefs"
    )
    generate.add_argument("--opening", help="a beginning to be continued")
    generate.add_argument(
        "--best-of", type=int, default=1, help="candidates a text, of which one is chosen (default 1)"
    )
    generate.add_argument(
        "--strict",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="leave a text out if no candidate of it passes; else give the nearest to passing, with a remark",
    )
    generate.add_argument(
        "--seed", type=int, help="the same seed gives the same texts (default: a new one, which is printed)"
    )
    generate.add_argument("--temperature", type=float)
    generate.add_argument("--top-p", type=float)
    generate.add_argument("--min-p", type=float)
    generate.add_argument(
        "--guidance",
        type=float,
        help="how often the brief counts, 1 to 10 (default: 1 with beats, else the run's, or 2); 1 takes two thirds of the time",
    )
    generate.add_argument("--max-new-tokens", type=int)
    generate.add_argument(
        "--plan",
        choices=PLANS,
        help="where the beats come from: the brief, the bank, the base, or nowhere (default: the run's, or auto)",
    )
    generate.add_argument(
        "--draws",
        type=int,
        help="paragraphs drawn for each beat, of which one is taken (default: the run's, or 4)",
    )
    generate.add_argument(
        "--guard",
        default="on",
        metavar="on|off|WORDS",
        help="longest run of words that may be copied from an original (default: as long as the originals share)",
    )
    generate.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="WORDS",
        help="words that the guard never refuses; repeatable",
    )
    generate.add_argument(
        "--backend",
        choices=("torch", "onnx"),
        default="torch",
        help="what runs the model: onnx is about twice as fast on a CPU, once `make onnx` installed it (default: torch)",
    )
    generate.add_argument(
        "--format",
        choices=FORMATS,
        help="json: one object a line (default: what the ending of --out says, else text)",
    )
    generate.add_argument(
        "--out",
        type=Path,
        help="write to this file (.txt, .md, .jsonl, .csv, .html) in place of the terminal; a .jsonl is written part by part, and the "
        "same command goes on where it was interrupted",
    )
    generate.set_defaults(work=_generate)
    parser.set_defaults(interrupted="interrupted")

    score = commands.add_parser("score", help="score texts against originals")
    score.add_argument(
        "files", nargs="+", help="folders, .txt, .md or .jsonl files (what generate --format json writes)"
    )
    score.add_argument("--references", help="folder or file of originals")
    score.add_argument(
        "--base",
        default="stories",
        help="model that tells broken text (default: %(default)s); none: no probabilities, and shuffled words pass more easily",
    )
    score.add_argument(
        "--run", help="run directory: its originals are the references, its model and base give perplexities"
    )
    score.add_argument("--json", action="store_true", help="print JSON in place of a table")
    score.add_argument("--html", type=Path, help="also write a page with the figures and the marked texts")
    score.set_defaults(work=_score)

    report = commands.add_parser(
        "report", help="draw and score a run's samples, write metrics.json and report.html"
    )
    report.add_argument("run")
    report.add_argument("--redraw", action="store_true", help="draw the samples again")
    report.set_defaults(work=_report)

    compare = commands.add_parser("compare", help="the figures of several runs side by side")
    compare.add_argument("runs", nargs="+", metavar="run")
    compare.add_argument("--html", type=Path, help="also write a page with the figures and a sample of each")
    compare.set_defaults(work=_compare)
    return parser


def _generate(options: argparse.Namespace) -> None:
    form = format_of(options.out, options.format)  # before anything is drawn
    if options.out is not None and options.out.is_dir():
        raise ValueError(f"--out {options.out} is a folder: name a file in it")
    asked: dict[str, Any] = {
        "brief": _brief(options),
        "opening": options.opening,
        "best_of": options.best_of,
        "strict": options.strict,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "min_p": options.min_p,
        "guidance": options.guidance,
        "max_new_tokens": options.max_new_tokens,
        "guard": _guard(options.guard),
        "allow": options.allow,
        "backend": options.backend,
        "plan": options.plan,
        "draws": options.draws,
    }
    if options.out is not None and form == "json" and (options.out.is_file() or not options.out.exists()):
        from inference.bulk import generate_to

        options.interrupted = "interrupted; the same command goes on"
        seed, written, before = generate_to(options.out, options.source, options.n, options.seed, asked)
        went_on = f", {before} of them from an interrupted attempt" if before else ""
        print(f"{written} texts: {options.out}, seed {seed}{went_on}", file=sys.stderr)
        return
    from data import atomic
    from inference.sampling import generate

    seed = random.randrange(2**31) if options.seed is None else options.seed
    samples = generate(options.source, n=options.n, seed=seed, **asked)
    text = export(samples, form)
    if options.out is None:
        print(text, end="")
    else:
        atomic.write_text(options.out, text)
        print(f"{len(samples)} texts: {options.out}", file=sys.stderr)
    for number, sample in enumerate(samples, start=1):
        end = "ended" if sample.ended_by_eos else f"cut off at {sample.tokens} tokens"
        span = sample.scores.get("longest_copied_span")
        copied = "" if span is None else f", longest copied span {span} words"
        remark = f", but it {sample.remark}" if sample.remark and sample.ended_by_eos else ""
        print(f"text {number}: {end}{copied}{remark}, seed {seed}", file=sys.stderr)


def _guard(value: str) -> bool | int:
    if value in ("on", "off"):
        return value == "on"
    if not value.isdecimal():
        raise ValueError(f"--guard must be on, off or a number of words, found {value!r}")
    return int(value)


def _brief(options: argparse.Namespace) -> Any:
    given = {field: getattr(options, field) for field in FIELDS if getattr(options, field) is not None}
    if "length" in given:
        try:
            given["length"] = int(given["length"])
        except ValueError:
            raise ValueError(f"--length must be a number of words, found {given['length']!r}") from None
    if options.brief is None:
        if "beats" in given:
            given["beats"] = _beats(given["beats"])
        return given or None
    if given:
        raise ValueError("give the brief in a file or by --name, --occupation and so on, not both")
    import yaml

    path = Path(options.brief)
    if not path.is_file():
        raise ValueError(f"no brief at {path}: write its fields there, for example 'name: Nadia Benali'")
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict | list) or (
        isinstance(found, list) and not all(isinstance(b, dict) for b in found)
    ):
        raise ValueError(
            f"{path} must hold the fields of a brief, or a list of such; found {type(found).__name__}"
        )
    # Checked, and with nothing in them that YAML knows and JSON does not.
    return [Brief.from_dict(b) for b in found] if isinstance(found, list) else Brief.from_dict(found) or None


def _beats(file: str) -> list[str]:
    """The beats in ``file``, "-" for standard input. Raises ValueError where there are none or they can't be used."""
    where = "standard input" if file == "-" else file
    told = "type one line for each paragraph, for example 'Nadia comes into the café'"
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"no beats at {file} ({error.strerror}): name a text file and {told}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{where} is not UTF-8: offset {error.start}; save it as UTF-8") from None
    try:
        beats = Brief(beats=text).beats
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if not beats:
        raise ValueError(f"{where} has no beats: {told}")
    return list(beats)


def _score(options: argparse.Namespace) -> None:
    from data.originals import load_originals
    from inference.scoring import score

    if (options.references is None) == (options.run is None):
        raise ValueError("say what to score against: --references FOLDER, or --run RUN (one of them)")
    texts = [text for file in options.files for text in _texts(file)]
    if not texts:
        raise ValueError(
            f"no text of {', '.join(options.files)} was chosen: draw more candidates, or use --no-strict"
        )
    if options.run is None:
        base = None if options.base == "none" else options.base
        card = score(texts, load_originals(options.references), base=base)
    else:
        from inference.runs import Run

        card = score(texts, Run.open(options.run).originals, model=options.run)
    if options.html is not None:
        from data import atomic
        from inference.pages import score_page

        atomic.write_text(
            options.html, score_page(card, ", ".join(Path(file).stem for file in options.files))
        )
        print(f"page: {options.html}", file=sys.stderr)
    ended = [text["ended_by_eos"] for text in texts if "ended_by_eos" in text]
    if options.json:
        extra = {"ended_by_eos": sum(ended) / len(ended)} if ended else {}
        print(json.dumps({**card.to_dict(), **extra}, ensure_ascii=False, indent=2))
        return
    print(card)
    written = [text.metrics for text in card.texts if text.text]
    spans = [metrics["longest_copied_span"] for metrics in written]
    new = [
        metrics["novelty_4gram"]
        for metrics in written
        if metrics["novelty_4gram"] == metrics["novelty_4gram"]
    ]
    print(
        f"{len(spans)} texts; longest copied span: median {statistics.median(spans):g}, most {max(spans)} words"
    )
    print(
        f"least share of new 4-grams: {min(new):.3f}"
        if new
        else "least share of new 4-grams: none has four words"
    )
    if ended:
        print(f"ended by end of text: {sum(ended)} of {len(ended)}")
    for sentence in card.sentences():
        print(sentence)


def _texts(file: str) -> list[dict[str, Any]]:
    """Texts of a file or folder; rows of samples with what they say of their end, those alone that were chosen."""
    from data.originals import load_texts

    found = [{"text": text.text} for text in load_texts(file)]
    path = Path(file)
    if path.suffix == ".jsonl" and path.is_file():
        rows = [json.loads(line) for line in path.read_text("utf-8-sig").split("\n") if line.strip()]
        for text, row in zip(found, rows, strict=True):
            text |= {key: row[key] for key in ("ended_by_eos", "chosen") if key in row}
    return [text for text in found if text.get("chosen", True)]


def _compare(options: argparse.Namespace) -> None:
    from inference.compare import compare

    comparison = compare(options.runs)
    print(comparison)
    if options.html is not None:
        from data import atomic
        from inference.pages import compare_page

        atomic.write_text(options.html, compare_page(comparison, options.runs))
        print(f"page: {options.html}", file=sys.stderr)


def _report(options: argparse.Namespace) -> None:
    from inference.report import write_report
    from inference.summary import table

    print(table(write_report(options.run, redraw=options.redraw, progress=True)))
    print(f"\nreport: {Path(options.run) / 'report.html'}")


if __name__ == "__main__":
    sys.exit(main())
