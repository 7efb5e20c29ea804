"""The `demo` subcommand: its arguments, and errors in plain words. Light to import; `run` loads the rest."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

DESCRIPTION = """\
Rank films for the users of MovieLens-100K with every stage of perso_core, and measure what each stage buys.

Trains 64-dim factors and a text space on all but each user's last ten ratings, builds a catalog, saves and
opens it, ranks all 943 users under six policies, and replays one slate bit for bit. Prints one user's history
and slate with its reasons, then tables over all users: stage by stage, and by kind of diversity. What exploring costs
and teaches is simulated with made-up readers whose clicks follow a known model. Takes about a minute on two cores.

With --live it ranks for --seconds while a second thread streams half of the ratings into the catalog as events:
counters, renewed factors, new films. Prints reads and writes per second, and checks at the end that every slate
was of one state of the catalog.

The data set is downloaded once (2 MB, out of the wheel recbole==1.2.1), verified, and kept in
$PERSO_CORE_CACHE, $XDG_CACHE_HOME/perso_core or ~/.cache/perso_core. Needs:  pip install 'perso_core[demo]'
"""

DEFAULT_USER = 1
DEFAULT_K = 10
DEFAULT_SEED = 7
MOST_K = 100
DEFAULT_SECONDS = 10
MOST_SECONDS = 600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `perso-core demo`."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="a folder with ml-100k.inter and ml-100k.item, instead of the download",
    )
    parser.add_argument(
        "--user",
        type=int,
        metavar="ID",
        help=f"whose slate to print, 1 to 943 (default: {DEFAULT_USER})",
    )
    parser.add_argument(
        "--k",
        type=_slate_length,
        default=DEFAULT_K,
        metavar="N",
        help="films in that slate, or in each with --live (default: %(default)s); the table always measures 20",
    )
    parser.add_argument(
        "--seed",
        type=_seed,
        default=DEFAULT_SEED,
        metavar="N",
        help="the same seed prints the same bits, timings aside (default: %(default)s)",
    )
    parser.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="also write the results, with a plot, as one self-contained page",
    )
    parser.add_argument(
        "--live",
        action="store_true",
        help="rank while ratings stream into the catalog, in place of the tables",
    )
    parser.add_argument(
        "--seconds",
        type=_seconds,
        metavar="N",
        help=f"how long --live goes on, 1 to {MOST_SECONDS} (default: {DEFAULT_SECONDS})",
    )
    parser.add_argument(
        "--durable",
        type=Path,
        metavar="DIR",
        help="with --live: log every change in this folder, and open it again at the end",
    )
    parser.add_argument("--no-progress", action="store_true", help="no progress bars")


def run(args: argparse.Namespace) -> int:
    """Run the demo; the exit status."""
    from .errors import DemoError, require_extras

    try:
        require_extras()
        _check_together(args)
        _check_writable(args.html)
        if args.live:
            return _run_live(args)
        from . import report, show, story
        from .progress import ProgressBars

        user = DEFAULT_USER if args.user is None else args.user
        options = story.Options(data=args.data, user=user, k=args.k, seed=args.seed)
        with ProgressBars(enabled=not args.no_progress) as bars:
            outcome = story.tell(options, bars)
        show.show(outcome)
        if args.html is not None:
            report.write(outcome, args.html)
            print(f"\nReport written to {args.html}")
    except DemoError as error:
        print(f"perso-core demo: {error}", file=sys.stderr)
        return 1
    return 0


def _run_live(args: argparse.Namespace) -> int:
    from . import live
    from .progress import ProgressBars
    from .show_live import Show

    seconds = DEFAULT_SECONDS if args.seconds is None else args.seconds
    options = live.Options(data=args.data, k=args.k, seed=args.seed, seconds=seconds, durable=args.durable)
    show = Show()
    with ProgressBars(enabled=not args.no_progress) as bars:
        prepared = live.prepare(options, bars)
    show.begins(prepared.beginning)
    show.ends(live.run(prepared, show.tell))
    return 0


def _check_together(args: argparse.Namespace) -> None:
    """Options that the way it is run would not use."""
    from .errors import DemoError

    if args.live:
        for name in ("user", "html"):
            if getattr(args, name) is not None:
                raise DemoError(f"--{name} is for the tables, which --live does not print.")
        return
    for name in ("seconds", "durable"):
        if getattr(args, name) is not None:
            raise DemoError(f"--{name} is for --live.")


def _check_writable(path: Path | None) -> None:
    """A report that cannot be written is better refused before the work than after it."""
    from .errors import DemoError

    if path is None:
        return
    if path.is_dir():
        raise DemoError(f"--html {path}: expected a file name, got a folder.")
    if not path.absolute().parent.is_dir():
        raise DemoError(f"--html {path}: the folder {path.absolute().parent} does not exist.")


def _slate_length(text: str) -> int:
    value = _whole(text)
    if not 1 <= value <= MOST_K:
        raise argparse.ArgumentTypeError(f"expected 1 to {MOST_K}, got {value}")
    return value


def _seconds(text: str) -> int:
    value = _whole(text)
    if not 1 <= value <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"expected 1 to {MOST_SECONDS}, got {value}")
    return value


def _seed(text: str) -> int:
    value = _whole(text)
    # The range that the factor model's random state takes.
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"expected 0 to {2**32 - 1}, got {value}")
    return value


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}") from None
