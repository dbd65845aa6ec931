"""Work on all cores, by threads: numpy, Arrow and digests leave the interpreter to others meanwhile."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")

CORES = min(8, os.cpu_count() or 1)  # beyond that threads wait for the interpreter


def on_all_cores(work: Callable[[Item], None], items: Sequence[Item]) -> None:
    """Do `work` for each item, in any order and side by side; the first error is raised at the end.

    Each item must write to places of its own, so that the outcome does not depend on the order.

    >>> squares = [0, 0, 0]
    >>> on_all_cores(lambda k: squares.__setitem__(k, k * k), range(3))
    >>> squares
    [0, 1, 4]
    """
    left = iter(items)  # shared: whoever is free takes the next

    def take() -> None:
        for item in left:
            work(item)

    # This thread is one of them: on one core nothing is handed over.
    with ThreadPoolExecutor(max(CORES - 1, 1)) as pool:
        others = [pool.submit(take) for _ in range(CORES - 1)]
        take()
    for other in others:
        other.result()


def made_ahead(
    work: Callable[[Item], Made], items: Iterable[Item], workers: int = CORES
) -> Generator[Made, None, None]:
    """`work` of each item, in their order, made by threads while the caller is busy with those before.

    At most `workers` are made ahead, so that what is held does not grow with the items.

    >>> list(made_ahead(str, range(3)))
    ['0', '1', '2']
    """
    with ThreadPoolExecutor(workers) as pool:
        coming: deque[Future[Made]] = deque()
        for item in items:
            if len(coming) == workers:
                yield coming.popleft().result()
            coming.append(pool.submit(work, item))
        while coming:
            yield coming.popleft().result()
