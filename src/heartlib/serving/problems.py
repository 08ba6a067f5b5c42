"""What is told to a client whose request cannot be answered: problem details (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus

from heartlib.errors import HeartlibError, UsageError

MEDIA_TYPE = "application/problem+json"


class Problem(HeartlibError):
    """An error with the HTTP status that it has; its text is for the client."""

    def __init__(
        self, status: int, detail: str, *, retry_after: int | None = None, **more: object
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.retry_after, self.more = status, detail, retry_after, more

    @property
    def headers(self) -> dict[str, str]:
        """Those that belong to the answer."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if self.status in (408, 413, 415):  # what still comes of the request is not read
            headers["Connection"] = "close"
        return headers

    def to_dict(self) -> dict[str, object]:
        """The body: `title` and `status` by the status, `detail` of this one, and what else was given."""
        title = HTTPStatus(self.status).phrase
        about = {"type": "about:blank", "title": title, "status": self.status}
        return about | {"detail": self.detail} | self.more


def problem_of(error: Exception) -> Problem:
    """What a client is told of an error: heartlib's own words, nothing of any other."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, UsageError):
        return Problem(422, str(error))
    if isinstance(error, HeartlibError):
        return Problem(409, str(error))
    return Problem(500, "the server failed; its log says why")
