"""What a server and its workers say to each other: one JSON object a line, no pickle."""

from __future__ import annotations

import json
from typing import Any

LONGEST_LINE = 4 * 2**20

Message = dict[str, Any]


def to_line(message: Message) -> bytes:
    """A message as one line."""
    return json.dumps(message, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def from_line(line: bytes) -> Message:
    """The message of a line; ValueError where it is none."""
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError("a message is an object")
    return message
