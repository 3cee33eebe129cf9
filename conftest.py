"""Settings of every test and doctest, made before jax is imported."""

import doctest
import gc
import inspect
import os
from pathlib import Path

import hypothesis

# Each pytest-xdist worker is one process on one core; XLA reads NPROC when jax is imported.
os.environ.setdefault("NPROC", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# What `latentpk.compilation.compile_quickly` sets: tests run the programs that commands run.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=1"
)
# Programs compiled by one worker or run serve the others; `make clean` removes them.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ.setdefault("MPLBACKEND", "agg")

hypothesis.settings.register_profile(
    "latentpk", derandomize=True, deadline=None, database=None, max_examples=50
)
hypothesis.settings.load_profile("latentpk")

_from_module = doctest.DocTestFinder._from_module


def _from_wrapped_module(self, module, thing):
    """See through jaxtyping's wrapper, or doctest takes every checked function for an import."""
    return _from_module(self, module, inspect.unwrap(thing) if callable(thing) else thing)


doctest.DocTestFinder._from_module = _from_wrapped_module

# Every loaded program holds several memory maps. Linux ends the process that asks for more than
# vm.max_map_count (65,530), and a worker that has run half of the suite comes near.
_MAPS = Path("/proc/self/maps")
_MOST_MAPS = 20_000


def pytest_runtest_teardown():
    """Let go of the programs of earlier tests before there are too many; the disk keeps them."""
    if not _MAPS.exists():
        return
    with _MAPS.open("rb") as maps:
        count = sum(1 for _ in maps)
    if count > _MOST_MAPS:
        import jax

        jax.clear_caches()
        gc.collect()
