"""A Dask cluster that trains and scores: XGBoost over all workers, other fits a worker each.

XGBoost's rows lie spread over the workers, which agree on every split of every tree. The
linear member's folds, LightGBM and the networks are fitted whole, side by side: LightGBM's
own Dask interface counts the categories of each worker by itself and refuses where one of
them lacks a rare one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from crimeguard.domain.errors import CrimeGuardError, UsageError
from crimeguard.features.columns import Columns, Floats, Ints
from crimeguard.features.dense import Matrix
from crimeguard.train.model import Model

if TYPE_CHECKING:
    import xgboost
    from distributed import Client

T = TypeVar("T")
PATIENCE: Final = 10.0  # seconds that a scheduler, and its first worker, may take to answer
PARTS: Final = 4  # of the rows, for each worker
ROWS: Final = 20_000  # that are sent to be scored together


class Cluster:
    """The workers of a Dask scheduler as a crew (`train.crew.Crew`)."""

    def __init__(self, client: Client) -> None:
        self.client = client
        threads = client.nthreads()
        self.workers = len(threads)
        self.at_once = sum(threads.values())
        self.threads = min(threads.values())

    def call(self, fit: Callable[..., T], *args: Any, on_step: Callable[[], None],
             **kwargs: Any) -> T:  # fmt: skip
        """Run the fit on some worker; its steps are told when it is done."""
        sent = self.client.scatter(list(args), hash=False)
        future = self.client.submit(_counted, fit, sent, kwargs, pure=False)
        result, steps = future.result()
        for _ in range(steps):
            on_step()
        return result  # type: ignore[no-any-return]

    def each(self, fits: Sequence[Callable[[], Any]]) -> list[Any]:
        """Run all at once; what each calls finds a worker of its own if there are enough."""
        with ThreadPoolExecutor(len(fits)) as pool:
            return [future.result() for future in [pool.submit(fit) for fit in fits]]

    def boost(
        self, params: dict[str, Any], table: Matrix, target: Ints, start: NDArray[np.float32],
        rounds: int, on_step: Callable[[], None],
    ) -> xgboost.Booster:  # fmt: skip
        """Train on rows spread over all workers."""
        import dask.array as da
        from xgboost import dask as distributed_xgboost

        bounds = np.linspace(0, len(table), PARTS * self.workers + 1).astype(int)
        # Rows are in order of level and time: what one worker holds is mixed, so that none
        # has a level to itself.
        order = np.concatenate(
            [np.arange(k, len(table), self.workers) for k in range(self.workers)]
        )
        # Parts that were sent are only known to the client that sent them.
        with self.client.as_current():
            data = distributed_xgboost.DaskDMatrix(
                self.client,
                *(self._spread(array[order], bounds, da) for array in (table, target)),
                base_margin=self._spread(start[order], bounds, da),
            )
            told = distributed_xgboost.train(
                self.client, {**params, "nthread": self.threads}, data, rounds
            )
        for _ in range(rounds):
            on_step()
        return told["booster"]

    def _spread(self, array: NDArray[Any], bounds: Ints, da: Any) -> Any:
        """Send an array's parts to the workers, and return it as a Dask array."""
        parts = [array[start:stop] for start, stop in pairwise(bounds)]
        names = sorted(self.client.nthreads())
        blocks = [
            da.from_delayed(
                self.client.scatter(part, workers=[names[place // PARTS]], hash=False),
                part.shape, part.dtype,
            )
            for place, part in enumerate(parts)
        ]  # fmt: skip
        return da.concatenate(blocks)

    def probabilities(
        self, model: Model, columns: Columns, on_rows: Callable[[int], None] = lambda _: None
    ) -> Floats:
        """Return the model's answers, shape (n, 15), each part of the rows from some worker."""
        there = self.client.scatter(model, broadcast=True, hash=False)
        bounds = [(at, min(at + ROWS, len(columns))) for at in range(0, len(columns), ROWS)]
        asked = [
            self.client.submit(
                _answered, there, self.client.scatter(columns.rows(*part), hash=False), pure=False
            )
            for part in bounds
        ]
        found = [np.zeros((0, 15))]
        for (start, stop), future in zip(bounds, asked, strict=True):
            found.append(future.result())
            on_rows(stop - start)
        return np.concatenate(found)


def _counted(fit: Callable[..., T], args: list[Any], kwargs: dict[str, Any]) -> tuple[T, int]:
    from threadpoolctl import threadpool_limits

    steps: list[None] = []
    with threadpool_limits(1, user_api="blas"):
        return fit(*args, on_step=lambda: steps.append(None), **kwargs), len(steps)


def _answered(model: Model, columns: Columns) -> Floats:
    return model.probabilities(columns)


@contextmanager
def cluster(address: str, *, patience: float = PATIENCE) -> Iterator[Cluster]:
    """Connect to a scheduler at `tcp://host:port` that has a worker at least.

    UsageError for what is no address, CrimeGuardError if Dask is not installed here, or if no
    scheduler or no worker answers in time.
    """
    if not address.startswith(("tcp://", "tls://")):
        raise UsageError(f"{address[:80]!r} is no address of a Dask scheduler.",
                         fix="Name it like tcp://127.0.0.1:8786.")  # fmt: skip
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise CrimeGuardError("Dask is not installed here.", why="It is of the group `scale`.",
                              fix="Install requirements/scale.txt, here and on the "
                              "workers.") from None  # fmt: skip
    try:
        client = Client(address, timeout=patience, set_as_default=False)
    except (OSError, ValueError) as error:
        raise CrimeGuardError(
            f"No Dask scheduler answers at {address}.", why=f"{str(error).splitlines()[0]}.",
            fix="Start one (`dask scheduler`), or check the address.",
        ) from None  # fmt: skip
    with client:
        _require_workers(client, address, patience)
        yield Cluster(client)


def _require_workers(client: Client, address: str, patience: float) -> None:
    try:
        client.wait_for_workers(1, timeout=patience)
    except TimeoutError:
        raise CrimeGuardError(
            f"The Dask scheduler at {address} has no worker.", why="Nothing could be trained.",
            fix=f"Start some: `dask worker {address} --nthreads {os.cpu_count()}`, with the same "
            "CrimeGuard installed.",
        ) from None  # fmt: skip
