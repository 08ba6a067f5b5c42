"""A song heard while it is sung, against the same song decoded afterwards.

    python benchmarks/stream.py --songs 4
    python benchmarks/stream.py --model ./ckpt --version 3B --device cuda --dtype bfloat16

For each song: seconds until the first piece; the longest wait afterwards of a listener who plays the pieces as they
come; how far the sound is from that of `generate` (log-mel distance, loudness), and how far another noise of
the codec takes it. Of all songs: how the jumps where pieces meet rank among the songs' other moments (as in
`heartlib evaluate`: 99 and more stand out), and clicks there.
"""

import argparse
import time

import numpy as np

from heartlib.evaluation.codec import mel_distance
from heartlib.evaluation.joins import clicks, jump_percentiles
from heartlib.evaluation.judges import shipped
from heartlib.evaluation.levels import loudness
from heartlib.evaluation.pieces import pieces
from heartlib.evaluation.rhythm import tempo
from heartlib.evaluation.spectra import Sound
from heartlib.heartcodec.streaming import FADE_FRAMES
from heartlib.pipelines import HeartMuLaGenPipeline

FADE_SAMPLES = 3840 * FADE_FRAMES


def listen(stream) -> tuple[list[int], float, float]:
    """Plays a stream: where its pieces begin (samples), seconds to the first, the longest wait after it."""
    begins, first, wait, played_until = [0], 0.0, 0.0, 0.0
    start = time.perf_counter()
    for piece in stream:
        now = time.perf_counter() - start
        if len(begins) == 1:
            first = played_until = now
        wait = max(wait, now - played_until)
        played_until = max(played_until, now) + piece.shape[1] / stream.sample_rate
        begins.append(begins[-1] + piece.shape[1])
    return begins[1:-1], first, wait


def main() -> None:
    """Stream, generate, compare, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="nano", help="a checkpoint folder or nano")
    parser.add_argument("--version")
    parser.add_argument("--device")
    parser.add_argument("--dtype")
    parser.add_argument("--songs", type=int, default=4)
    args = parser.parse_args()
    pipe = HeartMuLaGenPipeline.from_pretrained(args.model, args.device, args.dtype, args.version)
    codec = pipe.codec
    if codec is None:
        raise SystemExit("the models do not fit into memory together, as a stream needs them")
    ranks: list[float] = []
    broken = 0
    print("length s  first s  wait s   to generate: dB  LU   to another noise: dB", flush=True)
    for song in pieces("lyrics", args.songs):
        stream = pipe.stream(song.lyrics, song.tags, seed=song.seed)
        begins, first, wait = listen(stream)
        assert stream.song is not None
        wave = stream.song.waveform.numpy()
        settings = {key: stream.song.settings[key] for key in ("num_steps", "guidance_scale")}
        codes, seed = stream.song.codes, stream.song.seed
        whole, other = (
            codec.detokenize(codes, **settings, seed=s).numpy() for s in (seed, seed + 1)
        )
        rate = stream.sample_rate
        print(
            f"{stream.song.duration:8.1f} {first:8.2f} {wait:7.2f} {mel_distance(wave, whole):15.2f} "
            f"{loudness(wave, rate) - loudness(whole, rate):+5.2f} {mel_distance(other, whole):18.2f}",
            flush=True,
        )
        beat = 60 / tempo(Sound.of(wave, rate), shipped().tempo)[0]
        places = [place for begin in begins for place in (begin, begin + FADE_SAMPLES)]
        ranks += jump_percentiles(wave, places, beat)
        heard = clicks(wave)
        broken += sum(bool((np.abs(heard - place) < rate // 50).any()) for place in places)
    share = np.mean(np.array(ranks) > 99) if ranks else 0.0
    print(f"{len(ranks)} edges: jumps rank {np.median(ranks):.0f} (median), {share:.1%} above 99")
    print(f"{broken} clicks")


if __name__ == "__main__":
    main()
