"""Fits the judges on songs with truth and counts how often they are right on others.

`python -m heartlib.evaluation.fit --data CORPUS [CORPUS ...] --held-out CORPUS [CORPUS ...] --out FILE`
"""

import argparse
import json
import multiprocessing
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from scipy.signal import lfilter
from tqdm import tqdm

from heartlib import audio
from heartlib.errors import UsageError
from heartlib.evaluation import harmony, rhythm
from heartlib.evaluation.judges import FILE, Judges
from heartlib.evaluation.linear import Classifier, fit_choice, fit_classifier
from heartlib.evaluation.measures import SongMeasures, measure
from heartlib.evaluation.perceptron import Perceptron, fit_perceptron
from heartlib.evaluation.pitch import voice_pitch
from heartlib.evaluation.spectra import FPS, WINDOW, Sound, window_starts
from heartlib.evaluation.timbre import BESIDE_VOICE
from heartlib.evaluation.voice import SINGERS, VOICE, singer_features

FACTS = ("voice", "singer", "tempo", "tempo_class", "main_instrument", "mode", "key")
JUMP = 99.0
EPOCHS, LEAST_WINDOWS = 20, 150_000
"""How often the instruments' windows are learned from, and how many windows that makes at least."""
Result = TypeVar("Result")


@dataclass(frozen=True)
class Example:
    """What one song teaches. sung: share of each window that is sung, 0 to 1."""

    truth: dict[str, Any]
    windows: np.ndarray  # [windows, 112]
    sung: np.ndarray  # [windows]
    singer: np.ndarray | None  # [5]
    tempo: np.ndarray  # [6, 27]
    key: np.ndarray  # [24, 72]


def songs(folders: Sequence[Path]) -> list[tuple[Path, dict[str, Any]]]:
    """Sound file and truth of every song in corpus folders; UsageError where there is none."""
    found: list[tuple[Path, dict[str, Any]]] = []
    for folder in folders:
        for path in sorted((folder / "truth").glob("[!.]*.json")):
            sound = folder / "audio" / f"{path.stem}.flac"
            if sound.is_file():
                found.append((sound, json.loads(path.read_text())))
    if not found:
        names = ", ".join(map(str, folders))
        raise UsageError(
            f"no songs in {names}: a corpus folder has audio/ID.flac and truth/ID.json"
        )
    return found


def examples(song: tuple[Path, dict[str, Any]]) -> list[Example]:
    """A song twice: as it is, and as a poor copy with noise and another tone."""
    path, truth = song
    sound = Sound.of(*audio.read(path))
    rng = np.random.default_rng(zlib.crc32(truth["id"].encode()))
    return [_example(sound, truth), _example(Sound(poor_copy(sound.samples, rng)), truth)]


def each(
    function: Callable[[Any], Result], songs: Sequence[Any], jobs: int, what: str
) -> list[Result]:
    """The function of every song, in order, by `jobs` processes; with a bar."""
    if jobs == 1:
        return [function(song) for song in tqdm(songs, desc=what, unit="song")]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, torch.set_num_threads, (1,)) as pool:
        found = pool.map(function, songs, chunksize=2)
        return list(tqdm(found, desc=what, unit="song", total=len(songs)))


def poor_copy(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise 25 to 45 dB below the song and a tilt of the spectrum, as a lossy codec may leave."""
    level = float(np.sqrt(np.mean(np.square(samples))))
    noise = rng.standard_normal(len(samples)) * level * 10 ** (-rng.uniform(25, 45) / 20)
    tilted = lfilter([1.0, rng.uniform(-0.4, 0.4)], [1.0], samples + noise)
    return (tilted * (level / (np.sqrt(np.mean(np.square(tilted))) + 1e-9))).astype(np.float32)


def _example(sound: Sound, truth: dict[str, Any]) -> Example:
    sung = np.zeros(len(sound.mel), dtype=bool)
    for word in truth["words"]:
        sung[round(word["start"] * FPS) : round(word["end"] * FPS)] = True
    share = np.array([sung[start : start + WINDOW].mean() for start in window_starts(len(sung))])
    singer = None
    if truth["singer"] in SINGERS and (share > 0.5).any():
        singer = singer_features(sound.windows[share > 0.5], voice_pitch(sound, sung))
    return Example(
        truth=truth,
        windows=sound.windows,
        sung=share,
        singer=singer,
        tempo=rhythm.tempo_features(sound),
        key=harmony.key_features(sound),
    )


def fit(found: Sequence[tuple[Path, dict[str, Any]]], jobs: int = 1) -> Judges:
    """All judges, without calibration. UsageError where a class has no example.

    The instruments are those of the songs.
    """
    taught = [copy for song in each(examples, found, jobs, "listening") for copy in song]
    windows = np.concatenate([song.windows for song in taught])
    share = np.concatenate([song.sung for song in taught])
    clear = (share > 0.5) | (share == 0)
    singers = [(song.singer, song.truth["singer"]) for song in taught if song.singer is not None]
    tempi = [np.abs(np.array(rhythm.TEMPI) - song.truth["tempo"]).argmin() for song in taught]
    keys = [
        12 * harmony.MODES.index(song.truth["mode"]) + harmony.NAMES.index(song.truth["key"])
        for song in taught
    ]
    return Judges(
        voice=_balanced(windows[clear], (share[clear] > 0.5).astype(int), VOICE, 3e-3),
        singer=_balanced(
            np.array([features for features, _ in singers]),
            np.array([SINGERS.index(name) for _, name in singers]),
            SINGERS,
            1e-2,
        ),
        instrument=_fit_instrument(taught),
        tempo=fit_choice(np.stack([song.tempo for song in taught]), np.array(tempi), decay=1e-3),
        key=fit_choice(np.stack([song.key for song in taught]), np.array(keys), decay=1e-3),
        made={
            "songs": len(found),
            "hours": round(sum(truth["duration"] for _, truth in found) / 3600, 3),
            "voices": sorted({truth["voice"] for _, truth in found} - {"none"}),
        },
        calibration={},
    )


def _fit_instrument(taught: Sequence[Example]) -> Perceptron:
    """Every instrument counts the same, windows in which somebody sings count little."""
    names = [song.truth["main_instrument"] for song in taught]
    classes = tuple(sorted(set(names)))
    numbers = [classes.index(name) for name in names]
    labels = np.repeat(numbers, [len(song.windows) for song in taught])
    weights = 1 - (1 - BESIDE_VOICE) * np.concatenate([song.sung for song in taught])
    weights = weights / np.bincount(labels, weights)[labels]
    windows = np.concatenate([song.windows for song in taught])
    epochs = max(EPOCHS, LEAST_WINDOWS // len(windows))
    return fit_perceptron(windows, labels, classes, weights=weights, epochs=epochs)


def _balanced(
    features: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], decay: float
) -> Classifier:
    """Every class counts the same."""
    counts = np.bincount(labels, minlength=len(classes))
    if counts.min(initial=1) == 0:
        missing = classes[int(counts.argmin())]
        raise UsageError(f"the songs hold no example of {missing!r}; give more of them")
    weights = len(labels) / (len(classes) * counts[labels])
    return fit_classifier(features, labels, classes, weights=weights, decay=decay)


def calibrate(
    found: Sequence[tuple[Path, dict[str, Any]]], judges: Judges, jobs: int = 1
) -> dict[str, float]:
    """How often `measure` agrees with the truth, and what true songs show at clicks and joins."""
    right: dict[str, list[bool]] = {name: [] for name in (*FACTS, "voice_absent")}
    jumps: list[float] = []
    clicks = 0
    seconds = 0.0
    every = each(partial(_measure, judges=judges), [path for path, _ in found], jobs, "judging")
    for measures, (_, truth) in zip(every, found, strict=True):
        for name, agreed in agreement(measures, truth).items():
            right[name].append(agreed)
        jumps += measures.join_jumps
        clicks += measures.clicks
        seconds += measures.duration
    result = {name: round(float(np.mean(row)), 4) for name, row in right.items() if row}
    result["songs"] = len(found)
    result["join_moments"] = len(jumps)
    result["join_jumps"] = round(float(np.mean(np.array(jumps) > JUMP)), 4) if jumps else 0.0
    result["clicks_per_minute"] = round(60 * clicks / seconds, 4)
    return result


def _measure(path: Path, judges: Judges) -> SongMeasures:
    return measure(*audio.read(path), judges)


def agreement(measures: SongMeasures, truth: dict[str, Any]) -> dict[str, bool]:
    """Which of the measured facts are true; the singer only where there is one."""
    facts = {
        name: getattr(measures, name) == truth[name]
        for name in ("tempo_class", "main_instrument", "mode", "key")
    }
    facts["key"] = facts["key"] and facts["mode"]
    facts["tempo"] = abs(measures.tempo / truth["tempo"] - 1) < 0.02
    if truth["singer"] == "none":
        return facts | {"voice_absent": not measures.sung}
    return facts | {"voice": measures.sung, "singer": measures.singer == truth["singer"]}


def main(argv: Sequence[str] | None = None) -> int:
    """Fit, calibrate, write, print."""
    parser = argparse.ArgumentParser(prog="python -m heartlib.evaluation.fit", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="CORPUS")
    parser.add_argument("--held-out", type=Path, nargs="+", required=True, metavar="CORPUS")
    parser.add_argument("--out", type=Path, default=FILE, metavar="FILE")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes (default 1)")
    args = parser.parse_args(argv)
    taught = songs(args.data)
    seeds = {truth["seed"] for _, truth in taught}
    # another cast's song of the same seed has the same music
    held_out = [song for song in songs(args.held_out) if song[1]["seed"] not in seeds]
    if not held_out:
        raise UsageError("every held-out song has the seed of a song in --data")
    judges = fit(taught, args.jobs)
    rates = calibrate(held_out, judges, args.jobs)
    judges = Judges(**{**vars(judges), "calibration": rates})
    judges.save(args.out)
    print(json.dumps({"made": judges.made, "calibration": judges.calibration}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
