"""How seams of extended songs sound: level, spectrum and clicks at the cut, against the song itself.

    python benchmarks/seams.py song-a.flac song-b.flac          # songs that `heartlib generate` wrote

Each song is cut at half its length and sung on from there for ten seconds, from the codes of nano's encoder. A jump
of level is the difference between a second before the seam and a second after; its rank is among those at the beats
of the song as it was. A jump of the spectrum ranks as in `heartlib evaluate`, 99 and more standing out. "as it was"
is the song uncut at the same place.
"""

import argparse
from pathlib import Path

import numpy as np

from heartlib import HeartMuLaGenPipeline, audio, checkpoints
from heartlib.audio.seams import join, level_gain, likeness
from heartlib.evaluation.joins import clicks, jump_percentiles
from heartlib.evaluation.judges import shipped
from heartlib.evaluation.levels import rms_db
from heartlib.evaluation.rhythm import tempo
from heartlib.evaluation.spectra import Sound
from heartlib.heartcodec import HeartCodec
from heartlib.pipelines.extension import LISTEN_SECONDS, Cut

RATE = 48000
MORE_MS = 10_000


def level_jump(wave: np.ndarray, place: int) -> float:
    """Decibels from the second before `place` to the second after."""
    return rms_db(wave[:, place : place + RATE]) - rms_db(wave[:, place - RATE : place])


def level_rank(song: np.ndarray, beat: float, jump: float) -> float:
    """How many of 100 beats inside the song jump less."""
    step = beat * RATE
    places = np.arange(RATE, song.shape[1] - RATE, step).astype(int)
    return float(100 * np.mean([abs(level_jump(song, place)) < abs(jump) for place in places]))


def main() -> None:
    """Extend, join in three ways, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("songs", nargs="+", metavar="SONG")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    pipe = HeartMuLaGenPipeline.from_pretrained("nano")
    codec = HeartCodec.from_encoder_decoder_pretrained(*checkpoints.find_codec("nano"))
    print(
        "song                 join     level dB (rank)  spectrum  clicks  kept  gain dB  likeness",
        flush=True,
    )
    for path in args.songs:
        song, _ = audio.read(path)
        told = audio.read_tags(path)
        cut = Cut.at(song.shape[1], RATE, song.shape[1] / RATE / 2)
        codes = codec.tokenize(song[:, : cut.heard(RATE)], RATE)[:, : cut.frames]
        made = pipe.generate(
            told["lyrics"],
            told["tags"],
            prefix_codes=codes,
            seed=args.seed,
            max_audio_length_ms=cut.frames * 80 + MORE_MS,
        ).waveform.numpy()
        beat = 60 / tempo(Sound.of(song, RATE), shipped().tempo)[0]
        kept = song[:, : cut.samples]
        listen = round(LISTEN_SECONDS * RATE)
        fading = slice(cut.samples - cut.fade, cut.samples)
        for name, fade, heard in (
            ("as it was", None, 0),
            ("heartlib", cut.fade, listen),
            ("no gain", cut.fade, 0),
            ("no fade", 0, listen),
        ):
            joined = song if fade is None else join(kept, made, fade=fade, listen=heard)
            fade = fade or 0
            jump = level_jump(joined, cut.samples)
            ranks = jump_percentiles(joined, [cut.samples - fade // 2], beat)
            near = np.abs(clicks(joined) - cut.samples + fade // 2) < RATE // 10
            same = np.array_equal(joined[:, : cut.samples - fade], kept[:, : cut.samples - fade])
            print(
                f"{Path(path).stem:20s} {name:9s} {jump:+5.1f} ({level_rank(song, beat, jump):3.0f})"
                f"       {max(ranks):5.0f}     {near.sum():4d}    {'same' if same else 'NOT'}"
                f"  {20 * np.log10(level_gain(kept[:, -listen:], made[:, : cut.samples][:, -listen:])):+5.1f}"
                f"     {likeness(kept[:, fading], made[:, fading]):.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
