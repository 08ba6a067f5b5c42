"""Read and write wav, flac, mp3 and ogg, whole or not at all.

n: samples. A wave is float32 numpy [2, n] in -1...1.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from heartlib.audio.tags import write_tags
from heartlib.errors import HeartlibError, UsageError
from heartlib.outputs import check_target, publish, temporary


@dataclass(frozen=True)
class Format:
    """How libsndfile writes one kind of file; `quality` is its compression level, 0 best."""

    container: str
    subtype: str
    quality: float | None = None
    bitrate_mode: str | None = None


FORMATS = {
    "wav": Format("WAV", "PCM_24"),
    "flac": Format("FLAC", "PCM_24"),
    "mp3": Format("MP3", "MPEG_LAYER_III", quality=0.1, bitrate_mode="VARIABLE"),
    "ogg": Format("OGG", "VORBIS", quality=0.3),
}
PEAK = 10 ** (-1 / 20)  # -1 dB: room for the overshoot of lossy formats
PIECE_NUMBERS = 2**21  # 8 MB at a time, whatever the rate and the channels
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


def format_of(path: str | Path, format: str | None = None) -> str:
    """The format's name ("mp3"), from `format` or else the suffix; UsageError for any other."""
    given = format if format is not None else Path(path).suffix
    name = given.lower().lstrip(".")
    if name not in FORMATS:
        what = f"format {given!r}" if given else "a name without a suffix"
        raise UsageError(f"{path}: {what} is not known; use one of {', '.join(FORMATS)}")
    return name


def check_output(path: str | Path, *, overwrite: bool = False, format: str | None = None) -> Path:
    """Say before the work whether `path` can be written: UsageError for a name, HeartlibError for a disk.

    Returns the path that will be written, with links followed.
    """
    format_of(path, format)
    return check_target(path, overwrite=overwrite)


def read(path: str | Path) -> tuple[np.ndarray, int]:
    """Read a sound file: float32 [2, n] and its sample rate in Hz. Mono is doubled.

    UsageError where there is no such file, HeartlibError where it is not a sound with 1 or 2 channels.
    """
    with opened(path) as file:
        samples, rate = file.read(dtype="float32", always_2d=True), file.samplerate  # [n, channels]
    if samples.shape[1] > 2:
        raise HeartlibError(f"{path} has {samples.shape[1]} channels; mix it to one or two first")
    if samples.shape[1] == 1:
        samples = np.repeat(samples, 2, axis=1)
    return np.ascontiguousarray(samples.T), int(rate)


def limit_peak(wave: np.ndarray) -> np.ndarray:
    """The wave [channels, n], turned down to a peak of -1 dB where it is above."""
    peak = float(np.abs(wave).max(initial=0.0))
    return wave * np.float32(PEAK / peak) if peak > PEAK else wave


@contextmanager
def opened(path: str | Path) -> Iterator[soundfile.SoundFile]:
    """A sound file to read from; UsageError where there is none, HeartlibError where it is not sound."""
    path = _existing(path)
    with _errors_told(path), soundfile.SoundFile(_name(path)) as file:
        yield file


def read_pieces(path: str | Path) -> tuple[Iterator[np.ndarray], int]:
    """Read a sound file of any length and any channels piece by piece: float32 [channels, n], and its rate in Hz.

    UsageError where there is no such file, HeartlibError, also while reading, where it is not a sound.
    """
    path = _existing(path)
    with _errors_told(path):
        file = soundfile.SoundFile(_name(path))
    return _pieces(path, file), int(file.samplerate)


def _pieces(path: Path, file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    most = max(1, PIECE_NUMBERS // file.channels)
    with file, _errors_told(path):
        while len(samples := file.read(most, dtype="float32", always_2d=True)):
            yield samples.T


def _existing(path: str | Path) -> Path:
    path = Path(os.path.expanduser(path))
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give a sound file")
    if not path.is_file():
        raise UsageError(f"there is no sound file {path}")
    return path


def _name(path: Path) -> Any:
    """A path for soundfile: as bytes, which its types do not tell, also one that is no text."""
    return str(path) if os.name == "nt" else os.fsencode(path)


@contextmanager
def _errors_told(path: Path) -> Iterator[None]:
    try:
        yield
    except (soundfile.SoundFileError, RuntimeError) as error:
        reason = str(getattr(error, "error_string", error))
        if "File does not exist" in reason:  # what libsndfile says of an mp3 without a frame
            reason = "Format not recognised."
        raise HeartlibError(f"{path} cannot be read as sound: {reason}") from error
    except OSError as error:
        raise HeartlibError(f"{path} cannot be read: {error.strerror}") from error


def write(
    path: str | Path,
    wave: Any,
    sample_rate: int,
    format: str | None = None,
    tags: Mapping[str, Any] | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Write float [channels, n] (numpy, or a tensor on the CPU) with its `tags`; returns the path written.

    The file gets its name only when it is complete. wav and flac hold 24 bits, mp3 and ogg are
    written at high quality. UsageError for an unknown format or an existing file without
    `overwrite`; HeartlibError for samples that are not finite or a disk that refuses.
    """
    kind = FORMATS[format_of(path, format)]
    target = check_output(path, overwrite=overwrite, format=format)
    samples = np.atleast_2d(np.asarray(wave, dtype=np.float32)).T  # [n, channels]
    if samples.shape[0] == 0 or samples.shape[1] > 2:
        raise HeartlibError(
            f"{path}: a wave of {samples.shape[0]} samples and {samples.shape[1]} channels "
            f"cannot be written; one or two channels that are not empty can"
        )
    if not np.isfinite(samples).all():
        raise HeartlibError(
            f"{path}: the wave holds values that are not finite; nothing is written"
        )
    if kind.container == "MP3" and sample_rate not in MP3_RATES:
        raise UsageError(f"{path}: mp3 has no sample rate of {sample_rate} Hz; use wav or flac")
    work = temporary(target)
    try:
        _encode(work, samples, sample_rate, kind)
        if tags is not None:
            write_tags(work, tags, container=kind.container)
        publish(work, target, overwrite)
    except soundfile.SoundFileError as error:
        raise HeartlibError(f"{path} cannot be written: {error}") from error
    except OSError as error:
        raise HeartlibError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        work.unlink(missing_ok=True)
    return target


def _encode(path: Path, samples: np.ndarray, sample_rate: int, kind: Format) -> None:
    # A second at a time: libsndfile's Vorbis encoder overflows its stack on long blocks.
    with soundfile.SoundFile(
        path,
        "x",
        samplerate=sample_rate,
        channels=samples.shape[1],
        subtype=kind.subtype,
        format=kind.container,
        compression_level=kind.quality,
        bitrate_mode=kind.bitrate_mode,
    ) as file:
        for start in range(0, len(samples), sample_rate):
            file.write(samples[start : start + sample_rate])
