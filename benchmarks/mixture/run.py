"""Two kinds of people in one population: python -m benchmarks.mixture.run --help."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.harness.cells import Cell, Ledger
from benchmarks.harness.statistics import bootstrap
from benchmarks.harness.task import run_task

FOLDER = Path(__file__).parent
PEOPLE, SEEDS = 500, (1, 2, 3)
TIMES, FIRST = np.array([1.0, 3.0, 11.0, 36.0, 48.0, 50.0]), 2
DOSE, EVERY, DOSES = 100.0, 12.0, 5
POOR, SLOWER = 0.3, 0.25
TYPICAL = np.array([8.0, 50.0, 1.0])  # cl, v1, ka
SPREAD = {"bimodal": np.array([0.25, 0.2, 0.5]), "unimodal": np.array([0.5, 0.2, 0.5])}
PROPORTIONAL, ADDITIVE = 0.15, 0.02
METHODS = ("truth", "one", "two", "auto")
PROTOCOL = {"version": 1, "people": PEOPLE}
LEDGER = Ledger(FOLDER, PROTOCOL)
LEAST = {"bimodal": 0.0, "unimodal": -0.02}


def plan() -> list[Cell]:
    """Every population, seed and method."""
    return [
        Cell({"population": population, "method": method, "seed": seed})
        for population in SPREAD
        for seed in SEEDS
        for method in METHODS
    ]


def simulate(population: str, seed: int, part: int) -> tuple[pl.DataFrame, np.ndarray]:
    """A table of people, and whether each is a poor metabolizer; part 0 trains, 1 judges."""
    rng = np.random.default_rng([seed, part, len(population)])
    poor = (rng.random(PEOPLE) < POOR) & (population == "bimodal")
    cl, v, ka = (TYPICAL * np.exp(SPREAD[population] * rng.standard_normal((PEOPLE, 3)))).T
    cl = cl * np.where(poor, SLOWER, 1.0)
    k, since = cl / v, TIMES[:, None] - EVERY * np.arange(DOSES)
    level = np.zeros((PEOPLE, TIMES.size))
    for j in range(DOSES):
        after = np.maximum(since[:, j], 0.0)[None]
        rise = np.exp(-k[:, None] * after) - np.exp(-ka[:, None] * after)
        level += (DOSE * ka / v / (ka - k))[:, None] * rise
    sd = np.hypot(PROPORTIONAL * level, ADDITIVE)
    measured = np.maximum(level + sd * rng.standard_normal(level.shape), 1e-4)
    rows = []
    for i in range(PEOPLE):
        rows += [(i + 1, EVERY * j, 1, DOSE, None) for j in range(DOSES)]
        rows += [(i + 1, t, 0, 0.0, y) for t, y in zip(TIMES, measured[i], strict=True)]
    names = ["ID", "TIME", "EVID", "AMT", "DV"]
    table = pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)
    # a dose at the time of a trough comes after it
    return table.sort(["ID", "TIME", "EVID"], maintain_order=True), poor


def truth_model(population: str, cohort: Any) -> Any:
    """The true model, of the package's own parts."""
    import equinox as eqx
    import jax.numpy as jnp

    from latentpk.inference.initial import measure
    from latentpk.models.groups import Groups
    from latentpk.models.latent import build
    from latentpk.models.record import stack_records
    from latentpk.workflows.setup import decoder_config, model_config

    scales = measure(stack_records(cohort.subjects, undecided=1.0, tight=True))
    decoder = decoder_config("1c-oral", scales, oral=True, both=False)
    config = model_config((), decoder, scales, prior="linear", residual="combined2")
    model = build(config)
    names = config.decoder.structure and model.decoder.structure.names
    order = [("cl", "v1", "ka").index(name) for name in names]
    prior = model.prior.shifted(jnp.log(TYPICAL[order]))
    prior = prior.spread_by(jnp.diag(jnp.asarray(SPREAD[population][order])))
    if population == "bimodal":
        shift = np.zeros((1, len(order)))
        shift[0, names.index("cl")] = np.log(SLOWER)
        odds = jnp.log(jnp.array([POOR / (1 - POOR)]))
        prior = prior.divided(Groups(odds, jnp.asarray(shift), jnp.zeros(1)))
    error = (jnp.log(jnp.asarray(ADDITIVE)), jnp.log(jnp.asarray(PROPORTIONAL)))
    moved = eqx.tree_at(lambda m: (m.residual.log_a, m.residual.log_b), model, error)
    return moved.with_prior(prior)


def score(model: Any, cohort: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Log density of all levels, of the later ones given the first, and the groups' chances."""
    from latentpk.inference.posterior import PosteriorSettings, posteriors
    from latentpk.models.record import stack_records

    def found(subjects: list[Any]) -> Any:
        records = stack_records(subjects, undecided=1.0, until_last_level=True, tight=True)
        return posteriors(model, records, PosteriorSettings(draws=1024))

    whole = found(list(cohort.subjects))
    begun = found([subject.after(FIRST) for subject in cohort])
    return whole.log_evidence, whole.log_evidence - begun.log_evidence, whole.group


def work(cell: Cell) -> dict[str, Any]:
    """Fit on some people, and score the others."""
    from latentpk.records.nonmem import read_nonmem
    from latentpk.workflows.profile import ProfileVAE

    population, method, seed = (cell.settings[k] for k in ("population", "method", "seed"))
    judged, poor = simulate(population, seed, 1)
    unseen = read_nonmem(judged, route="oral")
    if method == "truth":
        model, extra = truth_model(population, unseen), {}
    else:
        trained = read_nonmem(simulate(population, seed, 0)[0], route="oral")
        count = {"one": 1, "two": 2, "auto": "auto"}[method]
        options = {"decoder": "compartment", "structure": "1c-oral", "prior": "linear"}
        fit = ProfileVAE(**options, components=count, seed=seed).fit(trained)
        model = fit.model
        extra = {"components": fit.fitted.chosen.components, "said": list(fit.notices)}
    whole, later, group = score(model, unseen)
    if group is not None:
        extra |= {
            "share": float(np.exp(model.prior.log_shares()[1])),
            "ratio": float(np.exp(model.prior.groups.shifts[1][0])),
            "right": float(np.mean((group.argmax(axis=1) == 1) == poor)),
        }
    return {"none": whole.tolist(), "first": later.tolist(), **extra}


def _paired(results: list[dict[str, Any]], population: str, one: str, other: str) -> dict[str, Any]:
    """Mean difference of two methods' scores, each with its interval."""
    own = [r for r in results if r["population"] == population]
    by = {(r["method"], r["seed"]): r for r in own}
    seeds = [s for s in SEEDS if (one, s) in by and (other, s) in by]
    if not seeds:
        return {}

    def gain(kind: str) -> dict[str, float]:
        each = [np.subtract(by[one, s][kind], by[other, s][kind]) for s in seeds]
        sizes = [len(x) for x in each]
        return bootstrap(
            lambda index: float(np.mean([x[i].mean() for x, i in zip(each, index, strict=True)])),
            sizes,
        ).json()

    return {"seeds": seeds, **{kind: gain(kind) for kind in ("none", "first")}}


def summarize(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Scores of every method, leads and bars, from whatever cells are done."""
    table, bars = {}, []
    for population in SPREAD:
        own = [r for r in results if r["population"] == population]
        methods = {}
        for method in METHODS:
            mine = [r for r in own if r["method"] == method]
            if mine:
                numbers = ["share", "ratio", "components"]
                numbers += ["right"] * (population == "bimodal")  # else there is nothing to tell
                methods[method] = {
                    **{kind: float(np.mean([r[kind] for r in mine])) for kind in ("none", "first")},
                    **{k: [round(r[k], 4) for r in mine] for k in numbers if k in mine[0]},
                }
        lead = _paired(results, population, "two", "one")
        gap = _paired(results, population, "truth", "two")
        table[population] = {"methods": methods, "lead": lead, "gap": gap}
        bars += [_bar(population, kind, lead[kind]) for kind in ("none", "first") if lead]
    return {"table": table, "bars": bars}


def _bar(population: str, kind: str, lead: dict[str, float]) -> dict[str, Any]:
    least = LEAST[population]
    low = lead["low"] if population == "bimodal" else lead["value"]
    return {
        "kind": [population, kind],
        "what": f"{population}: lead of two groups over one, given {kind} [nats a person]",
        "measured": round(lead["value"], 4),
        "low": round(lead["low"], 4),
        "high": round(lead["high"], 4),
        "bar": f">= {least:g}" if least else "> 0, and its interval",
        "met": bool(low > least) if population == "bimodal" else bool(low >= least),
    }


def main() -> None:
    """Run the chosen cells and write results.json from every finished one."""
    run_task(__doc__ or "", plan(), work, ledger=LEDGER, summarize=summarize)


if __name__ == "__main__":
    main()
