"""A song's file while it grows: what whoever listens is sent before the song is finished.

n: samples.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile

LIVE_FORMATS = {"mp3": "audio/mpeg", "wav": "audio/wav", "pcm": "audio/pcm"}
PCM_RATE = 24_000  # of what speech clients call pcm: one channel, 16 bits
MP3_QUALITY = 0.3  # of libsndfile: constant 224 kbit/s
UNKNOWN = 0xFFFFFFFF  # bytes of a wav whose end is not known


class LiveFile:
    """Writes pieces of sound so that all that was written can be heard at once.

    mp3 (constant rate), wav (16 bits, its length left open) or pcm. The same pieces are the same bytes, so that a
    song begun again goes on where a listener was.
    """

    def __init__(self, path: Path, format: str, rate: int) -> None:
        self._format, self._rate = format, rate
        self.seconds = 0.0
        if format == "mp3":
            self._mp3 = soundfile.SoundFile(
                path,
                "w",
                samplerate=rate,
                channels=2,
                format="MP3",
                subtype="MPEG_LAYER_III",
                bitrate_mode="CONSTANT",
                compression_level=MP3_QUALITY,
            )
            return
        self._file = path.open("wb", buffering=0)
        if format == "wav":
            self._file.write(wav_header(rate))
        else:
            import soxr

            self._resampler = soxr.ResampleStream(rate, PCM_RATE, 1, dtype="float32")

    def __enter__(self) -> LiveFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._format == "mp3":
            self._mp3.close()
            return
        if self._format == "pcm" and error is None:
            self._write(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        self._file.close()

    def add(self, piece: np.ndarray) -> None:
        """One more piece, float [2, n]; beyond full scale it is clipped."""
        piece = np.clip(piece, -1, 1)
        if self._format == "mp3":
            for start in range(0, piece.shape[1], self._rate):
                self._mp3.write(piece[:, start : start + self._rate].T)
            self._mp3.flush()
        elif self._format == "wav":
            self._write(piece.T)
        else:
            self._write(self._resampler.resample_chunk(piece.mean(axis=0)))
        self.seconds += piece.shape[1] / self._rate

    def _write(self, samples: np.ndarray) -> None:
        data = (samples * 32767).round().astype("<i2").tobytes()
        view = memoryview(data)
        while view:
            view = view[os.write(self._file.fileno(), view) :]


def wav_header(rate: int) -> bytes:
    """44 bytes: two channels of 16 bits, as long as it comes."""
    return b"".join(
        (
            struct.pack("<4sI4s", b"RIFF", UNKNOWN, b"WAVE"),
            struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, rate, 4 * rate, 4, 16),
            struct.pack("<4sI", b"data", UNKNOWN - 36),
        )
    )
