"""Command line of ``python -m data``: looks at originals, and fetches bases into the user's cache. Does not train."""

import argparse
import json
import sys

from data.command import command


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit status is 0, or 2 with one message on stderr when the input can't be used."""
    parser = argparse.ArgumentParser(
        prog="python -m data", description="Look at originals before training, and fetch bases."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="what was found, and what training will see")
    check.add_argument("path", help="a folder of .txt or .md files, a .jsonl file, or a datasets id")
    check.add_argument(
        "--base",
        default=None,
        help="model folder or hub id whose tokenizer counts (default: stories)",
    )
    check.add_argument(
        "--context", type=int, default=None, help="tokens a block may have (default: the base's own)"
    )
    check.add_argument("--json", action="store_true", help="print JSON instead of a table")
    commands.add_parser("fetch", help="fetch and convert the bases, once")
    options = parser.parse_args(arguments)
    return command(lambda: _check(options) if options.command == "check" else _fetch())


def _check(options: argparse.Namespace) -> int:
    from data.bases import DEFAULT, resolve
    from data.check import check, describe, oddities
    from data.originals import ignored, load_originals

    originals = load_originals(options.path)
    if left := ignored(options.path):
        print(f"not read (only .txt and .md are): {', '.join(left)}", file=sys.stderr)
    base = resolve(options.base or DEFAULT)
    tokenizer, context = base.tokenizer(), options.context or base.context()
    result = check(originals, tokenizer, context)
    for odd in oddities(originals, tokenizer, context, base.english):
        print(f"note: {odd}", file=sys.stderr)
    print(
        json.dumps(result.to_dict(), ensure_ascii=False, indent=2)
        if options.json
        else describe(result, originals)
    )
    return 0


def _fetch() -> int:
    from data.bases import DEFAULT, resolve

    for name in ("smollm2", DEFAULT):
        print(f"{name}: {resolve(name).path}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
