"""Verified tokens: remembers the principals of tokens until they expire, so that a signature is verified once."""

from collections import OrderedDict
from hashlib import sha256
from typing import NamedTuple

from autocrud.policy.principal import Principal

MAX_TOKENS = 4096


class _Entry(NamedTuple):
    principal: Principal
    expires_at: float


class VerifiedTokens:
    """Bounded cache of tokens whose signature and claims were verified. It holds hashes, and no tokens.

    Args:
        size: most tokens to remember. The token that was not used for the longest time is forgotten first.
    """

    def __init__(self, size: int = MAX_TOKENS) -> None:
        self._size = size
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._generation = 0

    def find(self, token: str, now: float, generation: int) -> Principal | None:
        """Return the principal of a token that has not expired; None if the token must be verified.

        Args:
            now: Unix time.
            generation: number of the key set. A token that was verified by an older key set must be verified again.
        """
        self._forget_unless(generation)
        digest = sha256(token.encode()).digest()
        entry = self._entries.get(digest)
        if entry is None:
            return None
        if now >= entry.expires_at:
            del self._entries[digest]
            return None
        self._entries.move_to_end(digest)
        return entry.principal

    def add(self, token: str, principal: Principal, expires_at: float, generation: int) -> None:
        """Remember a token that was verified by the key set of a generation."""
        self._forget_unless(generation)
        self._entries[sha256(token.encode()).digest()] = _Entry(principal, expires_at)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def _forget_unless(self, generation: int) -> None:
        """Forget all tokens if they were verified by a key set of another generation."""
        if generation != self._generation:
            self._entries.clear()
            self._generation = generation

    def __len__(self) -> int:
        return len(self._entries)
