"""What repairing a song is worth beside single takes and the best of several, on held-out lyrics.

    python benchmarks/repair.py --songs 32 --device cuda --out repaired    # goes on where it was stopped
    python benchmarks/repair.py --out repaired --measure                   # counts again, sings nothing

Needs transformers and jiwer (pip install 'heartlib[transcribe,evaluation]'). Phonemes are read by espeak-ng;
where that is missing characters are counted, by which takes and tries are then chosen too, and `--measure`
counts phonemes of the same songs on a machine that has it. DIR keeps each song's three files and what was
heard of them. The last line is JSON.

The recogniser that chooses also judges. So each song that is kept is decoded once more, from other noise, and
heard anew: what a song gains only by one hearing's luck is gone there.
"""

import argparse
import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from heartlib import HeartMuLaGenPipeline, audio
from heartlib.errors import UsageError
from heartlib.evaluation.adherence import adherence, finest_unit
from heartlib.evaluation.interval import ratio_interval
from heartlib.evaluation.pieces import Piece, pieces
from heartlib.pipelines.best_of import Take, Takes
from heartlib.pipelines.decoding import decoding
from heartlib.pipelines.inputs import known_tags
from heartlib.pipelines.repair import ABOVE, TRIES, Repairs
from heartlib.pipelines.settings import FRAME_MS, GenerationSettings
from heartlib.pipelines.song import Song

WAYS = ("single", "best", "repair")
LANGUAGE = "en"
OTHER_NOISE = 1_000_003


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="nano", help="a checkpoint folder or nano")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: auto)")
    parser.add_argument("--songs", type=int, default=32, help="lyrics of the set (default: 32)")
    parser.add_argument("--takes", type=int, default=4, help="of the best of several (default: 4)")
    parser.add_argument("--tries", type=int, default=TRIES, help=f"of a repair (default: {TRIES})")
    parser.add_argument(
        "--above", type=float, default=ABOVE, help=f"the bar of a section (default: {ABOVE})"
    )
    parser.add_argument("--length", type=float, help="seconds that a song may have at most")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin none after that")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="keep songs there")
    parser.add_argument("--measure", action="store_true", help="only count what DIR has")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if not args.measure:
        sing_all(args)
    files = sorted(args.out.glob("lyrics-*.json"))
    if not files:
        raise SystemExit(f"{args.out} has no songs to measure")
    report([json.loads(file.read_text(encoding="utf-8")) for file in files])


def sing_all(args: argparse.Namespace) -> None:
    """Every song three ways, each once."""
    begun = time.perf_counter()
    pipe = HeartMuLaGenPipeline.from_pretrained(args.model, args.device)
    takes = Takes(pipe)
    known = {tag for group in known_tags(pipe.paths.root).values() for tag in group}
    for piece in pieces("lyrics", args.songs, known=known):
        file = args.out / f"{piece.name}.json"
        asked = {
            "model": pipe.model_hash,
            "takes": args.takes,
            "tries": args.tries,
            "above": args.above,
            "length": round(min(piece.length, args.length or piece.length), 2),
        }
        if file.is_file():
            held = json.loads(file.read_text(encoding="utf-8"))["asked"]
            if held != asked:
                raise UsageError(f"{file} was made with {held}, not {asked}: give an empty --out")
            continue
        if time.perf_counter() - begun > args.seconds:
            break
        told = sing(takes, piece, args, asked)
        part = file.with_suffix(".part")
        part.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(file)
        rates = "  ".join(f"{way} {count(told, way)[0] / count(told, way)[1]:.3f}" for way in WAYS)
        spent = "  ".join(f"{told[way]['seconds']:.0f}" for way in WAYS)
        print(f"{piece.name}  {rates}  (seconds {spent})", flush=True)


def sing(
    takes: Takes, piece: Piece, args: argparse.Namespace, asked: dict[str, Any]
) -> dict[str, Any]:
    """One song three ways: what was heard and what it cost."""
    pipe, listeners = takes.pipe, takes.listeners
    settings = GenerationSettings(
        max_audio_length_ms=round(asked["length"] * 1000), seed=piece.seed
    )
    done: list[Take] = []
    moments = [time.perf_counter()]

    def finished(take: Take) -> None:
        done.append(take)
        moments.append(time.perf_counter())

    best = takes(
        piece.lyrics,
        piece.tags,
        count=args.takes,
        settings=settings,
        language=LANGUAGE,
        finished=finished,
    )
    begun = time.perf_counter()
    mended = Repairs(pipe, listeners)(
        piece.lyrics,
        piece.tags,
        tries=args.tries,
        above=args.above,
        settings=settings,
        language=LANGUAGE,
    )
    ended = time.perf_counter()
    assert mended.score is not None and mended.first is not None
    frames = [take.song.codes.shape[1] for take in done]
    first = done[0].song
    heard = [first.codes.shape[1], *(t.frames + t.sung for t in mended.tries if t.sung)]
    told: dict[str, Any] = {
        "name": piece.name,
        "lyrics": piece.lyrics,
        "tags": piece.tags,
        "asked": asked,
        "unit": finest_unit(LANGUAGE),
        "single": kept(takes, first, done[0].score.text, settings)
        | cost(frames[0], 0, moments[1] - moments[0]),
        "best": kept(takes, best.song, best.scores[best.song.seed].text, settings)
        | cost(sum(frames), sum(frames), moments[-1] - moments[0]),
        "repair": kept(takes, mended.song, mended.score.text, settings)
        | cost(mended.frames, sum(heard), ended - begun),
        "first_text": mended.first.text,
        "tries": [asdict(each) for each in mended.tries],
    }
    for way, song in zip(WAYS, (first, best.song, mended.song), strict=True):
        song.save(args.out / f"{piece.name}-{way}.flac", overwrite=True)
    return told


def kept(
    takes: Takes, song: Song, text: str | None, settings: GenerationSettings
) -> dict[str, Any]:
    """What was heard of a song, and of its codes decoded from other noise."""
    codec = takes.pipe.codec
    if codec is None:  # it found no room beside the language model
        takes.pipe.load()
        codec = takes.pipe.codec
    anew = None
    if codec is not None:
        noise = replace(settings.for_codec(codec.config), seed=song.seed + OTHER_NOISE)
        wave = codec.detokenize(song.codes, **decoding(noise)).cpu().numpy()
        wave = audio.limit_peak(np.ascontiguousarray(wave, np.float32))
        anew = takes.listeners(wave, song.sample_rate, song.lyrics, "", LANGUAGE).text
    return {"seed": song.seed, "duration": song.duration, "text": text, "anew": anew}


def cost(sung: int, listened: int, seconds: float) -> dict[str, float]:
    """Frames sung, seconds of song listened to, and seconds that it took."""
    return {
        "frames": sung,
        "listened": round(listened * FRAME_MS / 1000, 2),
        "seconds": round(seconds, 2),
    }


def count(told: dict[str, Any], way: str, heard: str = "text") -> tuple[int, int]:
    """Errors and symbols of one song sung one way, in the finest unit that can be counted here."""
    text = told[way][heard] or ""
    found = adherence(told["lyrics"], text, LANGUAGE, finest_unit(LANGUAGE)).whole
    return found.errors, found.phonemes


def report(songs: list[dict[str, Any]]) -> None:
    """The table, then one JSON line."""
    unit = finest_unit(LANGUAGE)
    chosen = sorted({song["unit"] for song in songs})
    print(f"{len(songs)} songs; errors by {unit}, chosen by {' and '.join(chosen)}")
    if unit != "phonemes":
        print("phonemes need espeak-ng: --measure counts them where it is installed")
    print(
        "| | error rate (95 %) | gain on single takes (95 %) | heard anew | gain | frames | s listened | s |"
    )
    print("|---|---|---|---|---|---|---|---|")
    figures: dict[str, Any] = {"songs": len(songs), "unit": unit, "chosen_by": chosen}
    again = [song for song in songs if all(song[way]["anew"] is not None for way in WAYS)]
    for way in WAYS:
        told: dict[str, Any] = {}
        for heard, of in (("text", songs), ("anew", again)):
            if not of:
                continue
            errors, sizes = zip(*(count(song, way, heard) for song in of), strict=True)
            single = [count(song, "single", heard)[0] for song in of]
            told[heard] = {
                "rate": sum(errors) / sum(sizes),
                "interval": ratio_interval(errors, sizes),
                "gain": 1 - sum(errors) / max(sum(single), 1),
                "gain_interval": [1 - x for x in reversed(ratio_interval(errors, single))],
            }
        for name in ("frames", "listened", "seconds"):
            told[name] = sum(song[way][name] for song in songs)
        figures[way] = told
        print(row(way, told))
    figures["tries"] = sum(len(song["tries"]) for song in songs) / len(songs)
    print(f"{figures['tries']:.2f} tries a song")
    print(json.dumps(_rounded(figures)))


def row(way: str, told: dict[str, Any]) -> str:
    """One line of the table."""
    cells = [way]
    for heard in ("text", "anew"):
        if heard not in told:
            cells += ["not heard", ""]
            continue
        low, high = told[heard]["interval"]
        cells.append(f"{told[heard]['rate']:.3f} ({low:.3f} to {high:.3f})")
        low, high = told[heard]["gain_interval"]
        cells.append(
            f"{told[heard]['gain']:.0%} ({low:.0%} to {high:.0%})" if way != "single" else ""
        )
    cells += [f"{told['frames']}", f"{told['listened']:.0f}", f"{told['seconds']:.0f}"]
    return f"| {' | '.join(cells)} |"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
