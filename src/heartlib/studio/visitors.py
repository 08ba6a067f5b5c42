"""Whose browser it is: a signed cookie names an owner, so that no visitor reaches another one's songs."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers

from heartlib.serving.keys import Keys

COOKIE = "heartlib"
KEPT_SECONDS = 365 * 24 * 3600
VISITOR = "visitor-"


class Visitors:
    """Cookies of this server's visitors, `OWNER.SIGNATURE`.

    secret: signs them, and outlives the server. keys: where there are any, a visitor is who gave one, and a key that is
    taken away takes its cookies with it.
    """

    def __init__(self, secret: bytes, keys: Keys | None) -> None:
        self._secret, self._keys = secret, keys

    @property
    def ask_for_key(self) -> bool:
        """Whether a visitor must give a key first."""
        return self._keys is not None

    def owner(self, headers: Headers) -> str | None:
        """The owner that a browser's cookie names; None where there is none, or it is not from here."""
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return None
        owner, _, signature = ("" if morsel is None else morsel.value).rpartition(".")
        expected = self._sign(owner)
        if not owner or expected is None or not signature.isascii():
            return None
        return owner if hmac.compare_digest(expected, signature) else None

    def of_key(self, key: str) -> str | None:
        """The owner of a key, None for nobody's."""
        return None if self._keys is None else self._keys.owner(key.strip())

    def new(self) -> str:
        """An owner that nobody was before."""
        return VISITOR + secrets.token_hex(12)

    def cookie(self, owner: str, *, secure: bool) -> str:
        """The value of Set-Cookie; secure: the page came over HTTPS."""
        parts = [
            f"{COOKIE}={owner}.{self._sign(owner)}",
            "Path=/",
            f"Max-Age={KEPT_SECONDS}",
            "HttpOnly",
            "SameSite=Strict",
        ]
        return "; ".join(parts + ["Secure"] * secure)

    def _sign(self, owner: str) -> str | None:
        """None for an owner that this server does not have."""
        if self._keys is None:
            about = b"" if owner.startswith(VISITOR) else None
        else:
            about = self._keys.digest(owner)
        if about is None:
            return None
        message = owner.encode("utf-8", "surrogateescape") + b"\0" + about
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()
