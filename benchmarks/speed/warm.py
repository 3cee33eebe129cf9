"""A warm process, run by `run.py`: python -m benchmarks.speed.warm MODEL FORECAST.csv."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

THREADS, SINGLES, REPEATS = 2, 100, 5
COHORT, SEED, PATIENTS, DRAWS = "vancomycin-2c-infusion", 1, 1000, 10_000


def main(model_path: str, data_path: str) -> None:
    """Time posteriors in one process after a first call, and the peers beside; prints JSON."""
    from latentpk.compilation import cache_programs, compile_quickly, set_threads

    set_threads(THREADS)
    compile_quickly()
    cache_programs()
    from benchmarks.harness.ours import Block
    from latentpk import ProfileVAE, read_nonmem

    model = ProfileVAE.load(model_path)
    cohort = read_nonmem(data_path, **model.reading(), purpose="forecast")
    subjects = list(cohort)[: SINGLES + 1]
    first, _ = seconds(lambda: model.posterior(subjects[0]))
    singles = [seconds(lambda s=s: model.posterior(s)) for s in subjects[1:]]
    block = Block.of(model.model, cohort)
    seconds(block.posteriors)
    whole = [seconds(block.posteriors) for _ in range(REPEATS)]
    methods = whole[-1][1].method
    found = {
        "one_patient_first_call": first,
        "one_patient": [spent for spent, _ in singles],
        f"{len(cohort)}_patients": [spent for spent, _ in whole],
        "rungs": {name: methods.count(name) / len(methods) for name in sorted(set(methods))},
        **peers(),
    }
    sys.stdout.write(json.dumps(found) + "\n")


def peers() -> dict[str, list[float]]:
    """Seconds of the peers on the same patients, one after the other."""
    import numpy as np

    from benchmarks.forecast_oracle import cohorts
    from benchmarks.forecast_oracle.populations import POPULATIONS
    from benchmarks.speed.peers import prior_importance_sampling, scipy_map

    patients = cohorts.unseen(POPULATIONS[COHORT], PATIENTS, seed=SEED)
    normal = np.random.default_rng(1).standard_normal((DRAWS, len(patients.population.omega)))
    ones = [patients.take(slice(k, k + 1)) for k in range(1, SINGLES + 1)]
    return {
        "numpy_prior_importance_sampling": [
            seconds(lambda one=one: prior_importance_sampling(one, normal))[0] for one in ones
        ],
        "scipy_map": [seconds(lambda one=one: scipy_map(one))[0] for one in ones],
    }


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of a call, and what it gave."""
    begun = time.perf_counter()
    found = work()
    return time.perf_counter() - begun, found


if __name__ == "__main__":
    main(*sys.argv[1:])
