"""How much a song takes after a reference: held-out recordings, other words, and no tags; one JSON line at the end.

    heartlib corpus make --songs 32 --seed 700001 --language en --out true
    python benchmarks/reference.py --true true --out references            # goes on where it was stopped

Every recording of --true is the reference of one song of held-out words, for which no tags are given. `heard`: the same words sung with
the tags that are heard in the recording, and nothing in the reference's slot; `tags`: with the recording's true tags;
`slot`: with the reference's embedding and no tags at all. The judges and HeartCLAP then say how often the song has what the
recording has. `by chance`: the same question about another song's recording. The words that are understood are
counted too, in phonemes where espeak-ng is installed. Needs transformers and jiwer (pip install
'heartlib[transcribe,evaluation]').
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from heartlib import HeartMuLaGenPipeline, audio
from heartlib.errors import UsageError
from heartlib.evaluation.adherence import adherence, finest_unit
from heartlib.evaluation.interval import ratio_interval
from heartlib.evaluation.likeness import Likeness
from heartlib.evaluation.measures import measure
from heartlib.evaluation.pieces import Piece, pieces
from heartlib.evaluation.true_songs import TrueSong, true_songs
from heartlib.heartclap.index import clap_folder
from heartlib.pipelines.inputs import known_tags
from heartlib.pipelines.listening import Listeners
from heartlib.pipelines.reference import reference_of

WAYS = ("reference", "heard", "slot", "tags")
JUDGED = {"tempo": "tempo_class", "singer": "singer", "instrument": "main_instrument"}
LANGUAGE = "en"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="nano", help="a checkpoint folder or nano")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: auto)")
    parser.add_argument("--true", type=Path, required=True, metavar="CORPUS", help="recordings")
    parser.add_argument("--songs", type=int, default=32, help="how many (default 32)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="keep songs there")
    parser.add_argument(
        "--only", choices=("hear", "sing", "measure"), help="one of the three steps"
    )
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.only in (None, "hear"):
        hear(args)
    heard = json.loads((args.out / "heard.json").read_text(encoding="utf-8"))[: args.songs]
    if args.only in (None, "sing"):
        sing(args, heard)
    if args.only in (None, "measure"):
        report(measure_all(args, heard))


def hear(args: argparse.Namespace) -> None:
    """What each recording is like, into heard.json: the reference, its facts, and what HeartCLAP and the judges say of it."""
    file = args.out / "heard.json"
    if file.is_file():
        return
    pipe = HeartMuLaGenPipeline.from_pretrained(args.model, args.device, lazy_load=True)
    likeness = Likeness.from_pretrained(clap_folder("nano"), pipe.placement.codec_device)
    songs = [song for song in true_songs(args.true) if song.group == LANGUAGE][: args.songs]
    if not songs:
        raise UsageError(f"{args.true} has no songs in English")
    heard = [about(song, pipe, likeness) for song in songs]
    file.write_text(json.dumps(heard, ensure_ascii=False) + "\n", encoding="utf-8")


def about(song: TrueSong, pipe: HeartMuLaGenPipeline, likeness: Likeness) -> dict[str, Any]:
    path = song.folder / "audio" / f"{song.name}.flac"
    reference = reference_of(path, pipe.config, pipe.paths.root)
    assert reference is not None
    wave, rate = song.mix()
    likest, place = likeness(wave, rate)
    measures = measure(wave, rate)
    return {
        "reference": asdict(reference),
        "tags": song.truth.told,
        "facts": dict(song.truth.facts),
        "likest": likest,
        "place": [round(float(value), 5) for value in place],
        "judged": {name: getattr(measures, fact) for name, fact in JUDGED.items()},
    }


def asked(args: argparse.Namespace, heard: list[dict[str, Any]], root: Path) -> list[Piece]:
    known = {tag for group in known_tags(root).values() for tag in group}
    return pieces("lyrics", len(heard), known=known)


def sing(args: argparse.Namespace, heard: list[dict[str, Any]]) -> None:
    """Every song both ways, each once."""
    pipe = HeartMuLaGenPipeline.from_pretrained(args.model, args.device)
    for number, (piece, told) in enumerate(
        zip(asked(args, heard, pipe.paths.root), heard, strict=True)
    ):
        for way in WAYS:
            path = args.out / f"{number:03d}-{way}.mp3"
            if path.is_file():
                continue
            reference = told["reference"]
            tags = {"tags": told["tags"], "heard": reference["tags"]}.get(way, "")
            like = reference | {"tags": ""} if way == "slot" else reference
            song = pipe.generate(
                piece.lyrics, tags, seed=piece.seed, reference=None if tags else like
            )
            song.save(path)
            print(f"{path.name}  {song.duration:.1f} s", flush=True)


def measure_all(args: argparse.Namespace, heard: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is heard of every song that was sung both ways, kept beside it."""
    listeners = Listeners("nano")
    likeness = Likeness(listeners.clap)
    root = HeartMuLaGenPipeline.from_pretrained(args.model, args.device, lazy_load=True).paths.root
    rows = []
    for number, (piece, told) in enumerate(zip(asked(args, heard, root), heard, strict=True)):
        if not all((args.out / f"{number:03d}-{way}.mp3").is_file() for way in WAYS):
            continue
        row: dict[str, Any] = {"told": told}
        for way in WAYS:
            path = args.out / f"{number:03d}-{way}.mp3"
            file = path.with_suffix(".json")
            if not file.is_file():
                wave, rate = audio.read(path)
                measures = measure(wave, rate)
                likest, place = likeness(wave, rate)
                text = listeners(wave, rate, piece.lyrics, "", LANGUAGE).text
                kept = {
                    "judged": {name: getattr(measures, fact) for name, fact in JUDGED.items()},
                    "likest": likest,
                    "place": [round(float(value), 5) for value in place],
                    "text": text,
                }
                file.write_text(json.dumps(kept, ensure_ascii=False) + "\n", encoding="utf-8")
            row[way] = json.loads(file.read_text(encoding="utf-8"))
            count = adherence(
                piece.lyrics, row[way]["text"] or "", LANGUAGE, finest_unit(LANGUAGE)
            ).whole
            row[way] |= {"errors": count.errors, "symbols": count.phonemes}
        rows.append(row)
    return rows


def report(rows: list[dict[str, Any]]) -> None:
    """The table, then one JSON line."""
    count = len(rows)
    figures: dict[str, Any] = {"songs": count}
    true = np.array([row["told"]["place"] for row in rows])  # [N, D]
    print(
        "| | reference | by chance | heard tags alone | slot alone | true tags | the recordings |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in JUDGED:
        told = [row["told"]["facts"][name] for row in rows]
        said = {way: [row[way]["judged"][name] for row in rows] for way in WAYS}
        said["recordings"] = [row["told"]["judged"][name] for row in rows]
        figures[name] = line(f"{name}, by the judges", told, said)
    for name in ("genre", "mood", "timbre"):
        told = [row["told"]["facts"][name] for row in rows]
        said = {way: [row[way]["likest"][name] for row in rows] for way in WAYS}
        said["recordings"] = [row["told"]["likest"][name] for row in rows]
        figures[name] = line(f"{name} nearest by HeartCLAP", told, said)
    found: dict[str, Any] = {}
    for way in WAYS:
        likeness = np.array([row[way]["place"] for row in rows]) @ true.T  # [N songs, N recordings]
        own = np.diag(likeness)
        found[way] = {
            "cosine": own.mean().item(),
            "first": (likeness.argmax(1) == np.arange(count)).mean().item(),
        }
        found[way]["others"] = ((likeness.sum() - own.sum()) / (count * (count - 1))).item()
    for key, what in (
        ("cosine", "cosine to the recording"),
        ("first", "recording is the nearest of all"),
    ):
        chance = f"{found['reference']['others']:.2f}" if key == "cosine" else f"{1 / count:.2f}"
        cells = [f"{found[way][key]:.2f}" for way in WAYS]
        print(f"| {what} | {cells[0]} | {chance} | " + " | ".join(cells[1:]) + " | |")
    figures["likeness"] = found
    for way in WAYS:
        errors, symbols = ([row[way][key] for row in rows] for key in ("errors", "symbols"))
        low, high = ratio_interval(errors, symbols)
        figures[f"{way}_errors"] = [sum(errors) / sum(symbols), low, high]
    cells = ["{:.3f} ({:.3f}–{:.3f})".format(*figures[f"{way}_errors"]) for way in WAYS]
    unit = finest_unit(LANGUAGE)
    print(f"| errors, {unit} | {cells[0]} | | " + " | ".join(cells[1:]) + " | |")
    print(json.dumps(figures))


def line(name: str, told: list[str], said: dict[str, list[str]]) -> dict[str, float]:
    """One row: how often what is said is what was told, and what is true of another recording."""
    pairs = [(a, b) for a in range(len(told)) for b in range(len(told)) if a != b]
    rates = {
        way: float(np.mean([a == b for a, b in zip(told, said[way], strict=True)])) for way in said
    }
    rates["chance"] = float(np.mean([told[a] == said["reference"][b] for a, b in pairs]))
    order = ("reference", "chance", *WAYS[1:], "recordings")
    print(f"| {name} | " + " | ".join(f"{rates[way]:.0%}" for way in order) + " |")
    return rates


if __name__ == "__main__":
    main()
