import asyncio

from classifier.serving.workers.memory_budget import MemoryBudget


def test_memory_is_given_out_in_turn() -> None:
    async def whole() -> None:
        budget = MemoryBudget(10)
        await budget.take(6)
        order: list[int] = []

        async def take(count: int) -> None:
            await budget.take(count)
            order.append(count)

        waiting = [asyncio.create_task(take(count)) for count in (8, 1, 2)]
        await asyncio.sleep(0)
        assert order == []  # the small ones do not overtake
        waiting[0].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert order == [1, 2]
        assert budget.used == 9

    asyncio.run(whole())
