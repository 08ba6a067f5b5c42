"""How late or early the transcriptor's words are, on songs of a corpus folder.

    python -m heartlib.evaluation.word_times --data corpus --language en
    python -m heartlib.evaluation.word_times --data corpus --given       # it is told the lyrics

Words that are heard as they are sung are paired in order; each song is heard as it is, and from its
voice's stem where the folder has one. With the lyrics given every word counts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import accumulate
from pathlib import Path

import numpy as np

from heartlib.errors import UsageError
from heartlib.evaluation.true_songs import true_songs
from heartlib.hearttranscriptor.given_words import letters
from heartlib.hearttranscriptor.word_times import Word
from heartlib.pipelines import HeartTranscriptorPipeline


def errors(sung: Sequence[Word], heard: Sequence[Word]) -> np.ndarray:
    """Seconds that each word heard rightly starts and ends late, [N, 2]."""
    names = [[word.text.lower() for word in side] for side in (sung, heard)]
    found = [
        (heard[b + at].start - sung[a + at].start, heard[b + at].end - sung[a + at].end)
        for a, b, size in SequenceMatcher(None, *names, autojunk=False).get_matching_blocks()
        for at in range(size)
    ]
    return np.array(found).reshape(-1, 2)


def parted_alike(sung: Sequence[Word], given: Sequence[Word]) -> tuple[list[Word], list[Word]]:
    """The same letters on both sides, parted only where both are: languages without spaces are cut differently."""
    ends = [list(accumulate(len(letters(word.text)) for word in side)) for side in (sung, given)]
    common = sorted(set(ends[0]) & set(ends[1]))
    return _parted(sung, ends[0], common), _parted(given, ends[1], common)


def _parted(words: Sequence[Word], ends: list[int], at: list[int]) -> list[Word]:
    """Words put together up to each of the letters `at`; `ends`: the letters up to each word's end."""
    last = [ends.index(each) for each in at]
    firsts = [0, *(each + 1 for each in last[:-1])]
    return [
        Word("".join(letters(w.text) for w in words[a : b + 1]), words[a].start, words[b].end)
        for a, b in zip(firsts, last, strict=True)
    ]


def row(name: str, found: list[np.ndarray], words: int) -> str:
    """One line of figures, in milliseconds."""
    late = np.abs(np.concatenate(found)) * 1000
    (start, end), (far, late_end) = np.median(late, axis=0), np.quantile(late, 0.9, axis=0)
    return (
        f"{name:<6} {len(late)} of {words} words; start {start:.0f} ms, nine of ten {far:.0f} ms; "
        f"end {end:.0f} ms, nine of ten {late_end:.0f} ms"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the median absolute errors, of the mix and of the voice."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="a corpus folder")
    parser.add_argument("--model", default="nano", help="nano or a HeartTranscriptor's folder")
    parser.add_argument("--language", default="en", help="songs in it (default: en)")
    parser.add_argument(
        "--half", choices=("even", "odd"), help="every second song only: heads are chosen on even"
    )
    parser.add_argument("--given", action="store_true", help="tell it the lyrics, and count all")
    args = parser.parse_args(argv)
    songs = [song for song in true_songs(args.data) if song.group == args.language]
    if args.half:
        songs = songs[args.half == "odd" :: 2]
    if not songs:
        raise UsageError(f"{args.data} has no songs in {args.language!r}")
    pipe = HeartTranscriptorPipeline.from_pretrained(args.model)
    found: dict[str, list[np.ndarray]] = {"mix": [], "voice": []}
    words = dict.fromkeys(found, 0)
    for song in songs:
        truth = json.loads((args.data / "truth" / f"{song.name}.json").read_text(encoding="utf-8"))
        sung = [Word(word["word"], word["start"], word["end"]) for word in truth["words"]]
        for source, path in (
            ("mix", args.data / "audio" / f"{song.name}.flac"),
            ("voice", args.data / "stems" / song.name / "voice.flac"),
        ):
            if path.is_file():
                if args.given and sung:
                    aligned = pipe.align(path, truth["lyrics"], language=args.language)
                    told, heard = parted_alike(sung, aligned.words)
                else:
                    told, heard = sung, list(pipe(path, language=args.language).words)
                found[source].append(errors(told, heard))
                words[source] += len(told)
    for source, rows in found.items():
        if words[source]:
            print(row(source, rows, words[source]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
