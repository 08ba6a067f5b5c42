"""True songs through the codec: a corpus folder that sounds as a model's songs can sound at best.

`python -m heartlib.evaluation.reconstruct --data CORPUS --codes CODES --model nano --out DIR`

CODES is what `heartlib.training.encode` wrote. DIR is then for `--data` or `--held-out` of the
fit: judges that have heard the codec, and how often they are right on what went through it.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from safetensors import safe_open
from tqdm import tqdm

from heartlib import audio, checkpoints
from heartlib.errors import UsageError
from heartlib.heartcodec import HeartCodec


def reconstruct(data: Path, codes: Path, codec: HeartCodec, out: Path, *, songs: int) -> int:
    """Decodes the first `songs` songs of `codes` that have a truth in `data`; returns how many.

    Those that are in `out` already are kept. UsageError where no song is in both folders.
    """
    for folder in (data / "truth", codes / "songs.jsonl", codes / "codes.safetensors"):
        if not folder.exists():
            raise UsageError(f"there is no {folder}")
    text = (codes / "songs.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    lines = [line for line in lines if (data / "truth" / f"{line['id']}.json").is_file()][:songs]
    if not lines:
        raise UsageError(f"no song of {codes} has a truth in {data}")
    for part in ("audio", "truth"):
        (out / part).mkdir(parents=True, exist_ok=True)
    with safe_open(codes / "codes.safetensors", "pt") as file:
        every = file.get_slice("codes")
        for number, line in enumerate(tqdm(lines, desc="decoding", unit="song")):
            name = line["id"]
            path = out / "audio" / f"{name}.flac"
            if not path.is_file():
                song = every[:, line["offset"] : line["offset"] + line["frames"]].long()  # [K, T]
                wave = codec.detokenize(song.to(codec.device), seed=number)
                loud = max(1.0, float(wave.abs().max()) / 0.999)
                audio.write(path, (wave / loud).numpy(), codec.config.sample_rate)
            shutil.copy(data / "truth" / f"{name}.json", out / "truth" / f"{name}.json")
    return len(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Finds the codec, decodes, says how many songs there are."""
    parser = argparse.ArgumentParser(
        prog="python -m heartlib.evaluation.reconstruct",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, metavar="CORPUS", help="has truth/")
    parser.add_argument("--codes", type=Path, required=True, metavar="CODES")
    parser.add_argument("--model", default="nano", help="nano (default), a folder or a hub id")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--songs", type=int, default=100, help="at most (default 100)")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(argv)
    codec = HeartCodec.from_pretrained(checkpoints.find(args.model).codec, device=args.device)
    count = reconstruct(args.data, args.codes, codec, args.out, songs=args.songs)
    print(f"{count} songs in {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
