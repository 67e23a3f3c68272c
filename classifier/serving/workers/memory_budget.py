"""A budget of bytes that are waited for in turn."""

import asyncio
from collections import deque


class MemoryBudget:
    """Bytes that all workers share; who asks first is served first."""

    def __init__(self, size: int) -> None:
        """Start with all of `size` bytes free."""
        self._size = self._free = size
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def used(self) -> int:
        """Bytes that are taken now."""
        return self._size - self._free

    async def take(self, count: int) -> None:
        """Wait until `count` bytes are free, at most all of them, and take them."""
        assert count <= self._size
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((count, turn))
        self._hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(count)
            self._hand_out()
            raise

    def give_back(self, count: int) -> None:
        """Let others have bytes that were taken."""
        self._free += count
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting:
            count, turn = self._waiting[0]
            if not turn.cancelled():
                if count > self._free:
                    return
                self._free -= count
                turn.set_result(None)
            self._waiting.popleft()
