"""A process of its own that decodes one file that a client sent: what it may use is little, whatever the file claims.

It reads one line of JSON, [FROM, TO, SECONDS], writes TO, a flac file, and one line: `seconds`, or `error` with what the client
is told.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

MEMORY = 2**30
CPU_SECONDS = 30
FILE_BYTES = 2**29
RATES = (8000, 192_000)
KINDS = ("WAV", "WAVEX", "FLAC", "OGG", "MP3", "MPEG")
SHORTEST = 0.08
PIECE = 2**16  # samples of a channel


def limit() -> None:
    """Bounds this process, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for kind, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def decode(source: Path, target: Path, most_seconds: float) -> float:
    """Copies a sound as flac; its seconds. HeartlibError for what is not taken."""
    import numpy as np
    import soundfile

    from heartlib.errors import HeartlibError

    try:
        file = soundfile.SoundFile(source)
    except soundfile.SoundFileError:
        raise HeartlibError(
            "this is not a sound file that can be read: wav, flac, mp3 or ogg"
        ) from None
    with file:
        rate, channels = file.samplerate, file.channels
        if file.format not in KINDS:
            raise HeartlibError(f"{file.format} is not taken: send wav, flac, mp3 or ogg")
        if not RATES[0] <= rate <= RATES[1] or channels > 2:
            raise HeartlibError(
                f"the sound has {rate} Hz and {channels} channels; "
                f"{RATES[0]} to {RATES[1]} Hz and one or two channels are taken"
            )
        too_long = HeartlibError(
            f"the sound is longer than {most_seconds:g} s, the most that is taken"
        )
        if 0 < file.frames < 2**62 and file.frames > most_seconds * rate:
            raise too_long
        done = 0
        with soundfile.SoundFile(
            target, "w", samplerate=rate, channels=channels, format="FLAC", subtype="PCM_24"
        ) as copy:
            while len(piece := file.read(PIECE, dtype="float32", always_2d=True)):
                done += len(piece)
                if done > most_seconds * rate:
                    raise too_long
                if not np.isfinite(piece).all():
                    raise HeartlibError("the sound holds values that are not finite")
                copy.write(piece)
    if done < SHORTEST * rate:
        raise HeartlibError(f"the file holds less than {SHORTEST} s of sound")
    return done / rate


def main() -> None:
    """Gets ready, waits for what is to be decoded, decodes it, says what came of it."""
    import numpy  # noqa: F401  before there are limits: its threads reserve addresses
    import soundfile

    from heartlib.errors import HeartlibError

    limit()
    line = sys.stdin.readline()
    if not line:  # the server is gone
        return
    source, target, seconds = json.loads(line)
    try:
        told: dict[str, object] = {"seconds": decode(Path(source), Path(target), seconds)}
    except HeartlibError as error:
        told = {"error": str(error)}
    except (soundfile.SoundFileError, RuntimeError, ValueError):
        told = {"error": "the file is damaged: it cannot be decoded to its end"}
    except (MemoryError, OSError):
        told = {"error": "the file takes too much to decode"}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
