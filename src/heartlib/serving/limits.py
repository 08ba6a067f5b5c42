"""How much one client, and all of them together, may ask of a server."""

from dataclasses import dataclass, fields

from heartlib.errors import UsageError


@dataclass(frozen=True)
class Limits:
    """Bounds of a server: counts, bytes and seconds, all above 0; UsageError otherwise.

    waiting: songs in the queue of all owners; waiting_each: of one. stored_each: songs that an owner keeps, those
    that are not made yet among them. upload_bytes, upload_seconds: of one upload; uploads_each: bytes of all uploads of one owner,
    as they are kept. body_bytes: of a JSON request. body_seconds: how long a request may take to arrive. song_seconds: how long a
    song may take to be made, once begun. attempts: how often a song is begun whose worker died. uploading_each: uploads of
    one owner that arrive at once. listening: tasks (transcriptions, searches) that wait or run.
    """

    waiting: int = 256
    waiting_each: int = 64
    stored_each: int = 1000
    upload_bytes: int = 64 * 2**20
    upload_seconds: int = 600
    uploads_each: int = 2**30
    body_bytes: int = 256 * 2**10
    body_seconds: float = 30.0
    song_seconds: float = 3600.0
    listening_seconds: float = 600.0
    attempts: int = 3
    uploading_each: int = 4
    listening: int = 16

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) <= 0:
                raise UsageError(f"{field.name} must be above 0, not {getattr(self, field.name)}")
