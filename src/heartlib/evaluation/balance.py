"""More songs for the fit, of the main instruments that a corpus folder has too few of.

`python -m heartlib.evaluation.balance --least 20 --seed 510001 --cast judge --out judge`

Instruments are not drawn equally often, and a judge needs examples of each. Seeds count up from
`--seed`; those whose song has a rare instrument are rendered, until there are `--least` of each.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from heartlib.corpus.compose import compose
from heartlib.corpus.instruments import find_font
from heartlib.corpus.make import Job, index, render_job
from heartlib.corpus.orchestra import INSTRUMENTS


def balance(out: Path, least: int, seed: int, cast: str) -> int:
    """Renders what is missing into a corpus folder; returns how many songs were added.

    Songs that are there are kept. Raises as `heartlib.corpus.make` does.
    """
    for part in ("audio", "truth"):
        (out / part).mkdir(parents=True, exist_ok=True)
    truths = [json.loads(path.read_text()) for path in (out / "truth").glob("[!.]*.json")]
    counts = Counter(truth["main_instrument"] for truth in truths)
    seeds = {truth["seed"] for truth in truths}
    missing = sum(max(0, least - counts[name]) for name in INSTRUMENTS)
    font = find_font(None)
    with tqdm(total=missing, unit="song") as bar:
        while any(counts[name] < least for name in INSTRUMENTS):
            if seed not in seeds:
                instrument = compose(seed, cast).style.instrument
                if counts[instrument] < least:
                    render_job(Job(out, seed, cast, font))
                    counts[instrument] += 1
                    bar.update()
            seed += 1
    index(out)
    return missing


def main(argv: Sequence[str] | None = None) -> int:
    """Adds the songs and says how many they were."""
    parser = argparse.ArgumentParser(
        prog="python -m heartlib.evaluation.balance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, metavar="CORPUS")
    parser.add_argument("--least", type=int, default=20, help="songs of each (default 20)")
    parser.add_argument("--seed", type=int, default=510001, help="the first seed (default 510001)")
    parser.add_argument("--cast", default="judge")
    args = parser.parse_args(argv)
    print(f"{balance(args.out, args.least, args.seed, args.cast)} songs added to {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
