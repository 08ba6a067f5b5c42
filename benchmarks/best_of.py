"""What singing several takes and keeping the best is worth, on held-out lyrics; one JSON line at the end.

    python benchmarks/best_of.py                    # nano, the 4 shortest of 64 English songs, 4 takes each
    python benchmarks/best_of.py --songs 8 --takes 8 --seconds 3600

The recogniser that ranks the takes also judges them, so the gain is what it can tell apart, and at most that
for a listener. No song is begun after --seconds.
"""

import argparse
import json
import time
from statistics import mean

from heartlib import HeartMuLaGenPipeline
from heartlib.evaluation.pieces import pieces
from heartlib.pipelines.best_of import Takes
from heartlib.pipelines.inputs import known_tags
from heartlib.pipelines.settings import GenerationSettings


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="nano", help="a checkpoint folder or nano")
    parser.add_argument("--songs", type=int, default=4, help="lyrics, the shortest songs first")
    parser.add_argument("--skip", type=int, default=0, help="of the shortest songs, so many")
    parser.add_argument("--takes", type=int, default=4, help="of each")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin none after that")
    args = parser.parse_args()

    pipe = HeartMuLaGenPipeline.from_pretrained(args.model)
    takes = Takes(pipe)
    known = {tag for group in known_tags(pipe.paths.root).values() for tag in group}
    begun, rows = time.perf_counter(), []
    asked = sorted(pieces("lyrics", known=known), key=lambda piece: piece.length)
    for piece in asked[args.skip : args.skip + args.songs]:
        if time.perf_counter() - begun > args.seconds:
            break
        settings = GenerationSettings(
            max_audio_length_ms=round(piece.length * 1000), seed=piece.seed
        )
        best = takes(piece.lyrics, piece.tags, count=args.takes, settings=settings, language="en")
        kept = best.scores[best.song.seed]
        row = [
            (score.lyrics.whole.rate if score.lyrics else 0.0, score.tags or 0.0)
            for score in best.scores.values()
        ]
        assert kept.lyrics is not None
        rows.append((row, (kept.lyrics.whole.rate, kept.tags or 0.0)))
        errors = " ".join(f"{error:.3f}" for error, _ in row)
        tags = " ".join(f"{similarity:.3f}" for _, similarity in row)
        print(f"{piece.name}  errors {errors}  tags {tags}  kept {best.song.seed}", flush=True)
    figures = {
        "songs": len(rows),
        "takes": args.takes,
        "first_error": mean(row[0][0] for row, _ in rows),
        "any_error": mean(error for row, _ in rows for error, _ in row),
        "best_error": mean(kept[0] for _, kept in rows),
        "first_tags": mean(row[0][1] for row, _ in rows),
        "any_tags": mean(similarity for row, _ in rows for _, similarity in row),
        "best_tags": mean(kept[1] for _, kept in rows),
        "seconds": time.perf_counter() - begun,
    }
    print(json.dumps({name: round(figure, 4) for name, figure in figures.items()}))


if __name__ == "__main__":
    main()
