"""Programs that can be compiled beside other work, before they are first called."""

import os
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any

import jax

import latentpk.precision  # noqa: F401  (x64 before any array)

LANES = 2  # programs compiled at the same time: the caller has work of its own


class Program:
    """A function compiled by jax, for each shape of its arguments when first called, or before.

    XLA compiles without Python's lock, so that a second core can do it while the first one
    searches for starting values or compiles something else. Where the process has one core,
    nothing is begun early.

    Args:
        function: Of arrays, as for `jax.jit`.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._run = jax.jit(function)
        self._begun: dict[Hashable, Future[Callable[..., Any]]] = {}

    def __call__(self, *args: Any) -> Any:
        """Run it, waiting for its program where that was begun."""
        begun = self._begun.get(_shape(args)) if self._begun else None
        return (self._run if begun is None else begun.result())(*args)

    def ahead(self, *args: Any) -> None:
        """Begin to compile it for arguments of these shapes; their values do not matter."""
        shape = _shape(args)
        if _cores() > 1 and shape not in self._begun:
            self._begun[shape] = _pool().submit(lambda: self._run.lower(*args).compile())


@cache
def _cores() -> int:
    """Cores that this process may use: `--threads` is what computes, which this is not."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(LANES, thread_name_prefix="compile")


def _shape(args: tuple[Any, ...]) -> Hashable:
    leaves, tree = jax.tree_util.tree_flatten(args)
    return tree, tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)
