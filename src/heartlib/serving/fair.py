"""Whose song is next: one of each owner in turn, and of one owner the oldest."""

from __future__ import annotations

from collections import defaultdict, deque


class FairQueue:
    """Ids that wait, by owner; the next is of the owner who was served least recently.

    An owner who comes for the first time is served before those who were served already, after those who came before.
    """

    def __init__(self) -> None:
        self._waiting: defaultdict[str, deque[str]] = defaultdict(deque)
        self._owners: dict[str, str] = {}  # of each id
        self._served: dict[str, int] = {}
        self._turn = 0

    def __len__(self) -> int:
        return len(self._owners)

    def __contains__(self, id: str) -> bool:
        return id in self._owners

    def count(self, owner: str) -> int:
        """How many of one owner wait."""
        return len(self._waiting.get(owner, ()))

    def add(self, owner: str, id: str, *, first: bool = False) -> None:
        """Puts an id behind the others of its owner, or before them: one that is begun again."""
        self._owners[id] = owner
        (self._waiting[owner].appendleft if first else self._waiting[owner].append)(id)

    def remove(self, id: str) -> bool:
        """Takes an id out; False where it does not wait."""
        owner = self._owners.pop(id, None)
        if owner is None:
            return False
        self._waiting[owner].remove(id)
        self._forget(owner)
        return True

    def next(self) -> str | None:
        """Takes out the id whose turn it is; None where none waits."""
        if not self._owners:
            return None
        owner = min(self._waiting, key=self._last)
        id = self._waiting[owner].popleft()
        del self._owners[id]
        self._turn += 1
        self._served[owner] = self._turn
        self._forget(owner)
        return id

    def order(self) -> list[str]:
        """All ids in the order in which they are served, if no more come."""
        rounds = [
            (round, self._last(owner), came, id)
            for came, (owner, ids) in enumerate(self._waiting.items())
            for round, id in enumerate(ids)
        ]
        return [id for *_, id in sorted(rounds)]

    def _last(self, owner: str) -> int:
        return self._served.get(owner, 0)

    def _forget(self, owner: str) -> None:
        if not self._waiting[owner]:
            del self._waiting[owner]
        if len(self._served) > 10_000:  # visitors who never came back
            for old in sorted(self._served, key=self._last)[:5_000]:
                if old not in self._waiting:
                    del self._served[old]
