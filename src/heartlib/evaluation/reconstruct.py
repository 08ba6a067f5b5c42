"""True songs through the codec: a corpus folder that sounds as a model's songs can sound at best.

`python -m heartlib.evaluation.reconstruct --data CORPUS --out DIR`

DIR is then for `--data` or `--held-out` of the fit (judges that have heard the codec, and how often they are
right on what went through it) and for `heartlib train transcriptor --data CORPUS DIR`.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from heartlib import audio, checkpoints
from heartlib.errors import UsageError
from heartlib.evaluation.codec import RoundTrip
from heartlib.heartcodec import HeartCodec


def song_names(data: Path, songs: int | None) -> list[str]:
    """The first `songs` songs of a corpus folder, also of one in the making; UsageError where it has none."""
    names = sorted(path.stem for path in (data / "truth").glob("[!.]*.json"))[:songs]
    if not names:
        raise UsageError(f"no songs in {data}: a corpus folder has audio/ID.flac and truth/ID.json")
    return names


def reconstruct(name: str, data: Path, out: Path, codec: RoundTrip) -> None:
    """One song of `data` through the codec into `out`, its truth last; one that is there is kept.

    The noise that the codec begins with is drawn by the song's seed.
    """
    truth = data / "truth" / f"{name}.json"
    if (out / "truth" / truth.name).is_file():
        return
    wave, rate = audio.read(data / "audio" / f"{name}.flac")
    wanted = codec.codec.config.sample_rate
    if rate != wanted:
        raise UsageError(f"{data / 'audio' / name}.flac is at {rate} Hz, not {wanted}")
    made = codec(wave, seed=json.loads(truth.read_text(encoding="utf-8"))["seed"])
    for part in ("audio", "truth"):
        (out / part).mkdir(parents=True, exist_ok=True)
    audio.write(out / "audio" / f"{name}.flac", made, rate, overwrite=True)
    shutil.copy(truth, out / "truth" / f".{truth.name}")
    os.replace(out / "truth" / f".{truth.name}", out / "truth" / truth.name)


def load(model: str, device: str) -> RoundTrip:
    """The codec of a model with its encoder. Raises as `checkpoints.find_codec` does."""
    decoder, encoder = checkpoints.find_codec(model)
    return RoundTrip.from_pretrained(encoder, HeartCodec.from_pretrained(decoder, device=device))


_CODEC: list[RoundTrip] = []
"""The codec of a worker process."""


def _prepare(model: str, device: str) -> None:
    """Ctrl-C is the parent's business; a process has one core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _CODEC.append(load(model, device))


def _work(name: str, data: Path, out: Path) -> None:
    reconstruct(name, data, out, _CODEC[0])


def each(
    names: Sequence[str], data: Path, out: Path, *, model: str, device: str, jobs: int
) -> Iterator[None]:
    """Every song through the codec, by so many processes; yields as they are done."""
    if jobs == 1:
        codec = load(model, device)
        yield from (reconstruct(name, data, out, codec) for name in names)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _prepare, (model, device)) as pool:
        try:
            yield from pool.map(partial(_work, data=data, out=out), names)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def main(argv: Sequence[str] | None = None) -> int:
    """Takes the songs through the codec, says how many there are. Ctrl-C keeps those that are done."""
    parser = argparse.ArgumentParser(
        prog="python -m heartlib.evaluation.reconstruct",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, metavar="CORPUS")
    parser.add_argument("--model", default="nano", help="nano (default), a folder or a hub id")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--songs", type=int, metavar="N", help="the first N (default: all)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes (default 1)")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(argv)
    for name in ("songs", "jobs"):
        given = getattr(args, name)
        if given is not None and given < 1:
            raise UsageError(f"--{name} is {given}; it must be 1 or more")
    names = song_names(args.data, args.songs)
    done = each(names, args.data, args.out, model=args.model, device=args.device, jobs=args.jobs)
    try:
        for _ in tqdm(done, desc="through the codec", unit="song", total=len(names)):
            pass
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on with what is in {args.out}")
        return 130
    print(f"{len(names)} songs in {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
