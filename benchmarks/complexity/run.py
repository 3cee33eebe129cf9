"""Simple or complex, on cohorts with known labels: python -m benchmarks.complexity.run --help."""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.complexity import cohorts
from benchmarks.harness import command, machine
from benchmarks.harness.carried import carried, stored
from benchmarks.harness.cells import Cell, Ledger, run_cells, write_json
from benchmarks.harness.statistics import bootstrap

FOLDER = Path(__file__).parent
TRAINED, UNSEEN, SEEDS = 500, 500, (1, 2, 3)
PAIRS = (
    ("recirculation", "kernel"),
    ("simple", "kernel"),
    ("saturable", "hybrid"),
    ("saturable", "1c-mm-oral"),  # the mechanism named
)
PROTOCOL = {"version": 1, "trained": TRAINED, "unseen": UNSEEN}
LEDGER = Ledger(FOLDER, PROTOCOL)
BAR = 0.95
COSTS = ("fit_s", "assess_s")
BINS = (0.0, 0.05, 0.2, 0.5, 0.8, 0.95, 1.0)


def plan() -> list[Cell]:
    """Every kind of cohort with the first seed, then the next."""
    return [
        Cell({"kind": kind, "seed": seed, "decoder": decoder})
        for seed in SEEDS
        for kind, decoder in PAIRS
    ]


def work(cell: Cell) -> dict[str, Any]:
    """Fit, assess unseen patients, and keep each one's label and scores."""
    from latentpk import ProfileVAE, read_nonmem
    from latentpk.workflows.complexity.answer import told
    from latentpk.workflows.complexity.assess import assess
    from latentpk.workflows.complexity.residual import residual_model

    kind, seed = cell.settings["kind"], cell.settings["seed"]
    known, new = (cohorts.cohort(kind, n, s) for n, s in ((TRAINED, seed), (UNSEEN, 1000 + seed)))
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("train.csv", "new.csv")]
        for path, one in zip(paths, (known, new), strict=True):
            one.table.write_csv(path)
        begun = time.perf_counter()
        decoder = cell.settings["decoder"]
        model = (
            ProfileVAE(decoder=decoder, seed=seed)
            if decoder in ("kernel", "hybrid")
            else ProfileVAE(decoder="mechanistic", structure=decoder, seed=seed)
        ).fit(read_nonmem(paths[0]))
        fitted = time.perf_counter() - begun
        reading = model.reading() | {"purpose": "forecast"}
        train, unseen = (read_nonmem(path, **reading) for path in paths)
        found = assess(model, unseen, train=train)
        residual = residual_model(found)
        answer = told(found, residual)
        seconds = time.perf_counter() - begun - fitted
    trained, rival = found.trained, found.compartment
    scores = {
        "two_kinds": found.verdicts.log_bayes,
        "evidence_as_trained": trained.evidence - rival.evidence,
        "left_out_as_trained": _per_level(trained) - _per_level(rival),
        "later_as_trained": trained.later - rival.later,
    }
    if kind != "simple":
        scores["oracle"] = cohorts.oracle(new, kind)
    return {
        "rival": str(found.rival.fitted.chosen.decoder),
        "fit_s": fitted,
        "assess_s": seconds,
        "presence": found.presence,
        "parted": found.parted,
        "gain": float(found.gain.sum()),
        "share": answer["population"]["share_complex"],
        "class": answer["population"]["class"],
        "dimension": {k: v for k, v in answer["dimension"].items() if not isinstance(v, list)},
        "hints": [one["sign"] for one in answer["residual"]["hints"]],
        "complex": [bool(one) for one in new.complex],
        "probability": [float(f"{p:.5g}") for p in found.probability],
        "scores": {name: [float(f"{v:.5g}") for v in s] for name, s in scores.items()},
    }


def _per_level(judged: Any) -> Any:
    return np.nanmean(judged.left_out.log_density, axis=1)


def rows(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Areas with intervals, calibration, and what simple people were called."""
    table = []
    for kind, decoder in PAIRS:
        own = [one for one in results if (one["kind"], one["decoder"]) == (kind, decoder)]
        if not own:
            continue
        row = _mixed_row(own) if kind != "simple" else {}
        called = np.concatenate([np.asarray(one["probability"]) for one in own])
        table.append(
            {
                "kind": kind,
                "decoder": decoder,
                "seeds": [one["seed"] for one in own],
                "unseen": len(called),
                "rivals": [one["rival"] for one in own],
                "population_classes": [one["class"] for one in own],
                "hints": [one["hints"] for one in own],
                "dimension_by_held_out": [one["dimension"]["by_held_out"] for one in own],
                "shares": [one["share"]["value"] for one in own],
                "called_complex": float(np.mean(called >= 0.8)),
                "called_simple": float(np.mean(called <= 0.2)),
                "fit_s": float(np.median([one["fit_s"] for one in own])),
                "assess_s": float(np.median([one["assess_s"] for one in own])),
                **row,
            }
        )
    return table


def bars(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the rows are judged by."""
    found = []
    for row in table:
        if row["kind"] == "simple":
            value, bar = row["called_complex"], 0.05
            what, met = "only simple people: called complex", value <= bar
        else:
            value, bar = row["area"]["two_kinds"]["value"], BAR
            what, met = f"{row['kind']}: area under the ROC, six levels", value >= bar
        found.append(
            {
                "what": what,
                "decoder": row["decoder"],
                "measured": round(value, 3),
                "bar": f"{'<=' if row['kind'] == 'simple' else '>='} {bar}",
                "met": met,
            }
        )
    return found


def _mixed_row(own: list[dict[str, Any]]) -> dict[str, Any]:
    labels = [np.asarray(one["complex"]) for one in own]
    sizes = [len(one) for one in labels]
    areas = {}
    for name in own[0]["scores"]:
        scores = [np.asarray(one["scores"][name]) for one in own]

        def area(index: list[Any], scores: list[Any] = scores) -> float:
            parts = zip(scores, labels, index, strict=True)
            return float(np.mean([cohorts.area(s[i], y[i]) for s, y, i in parts]))

        areas[name] = bootstrap(area, sizes, draws=500).json()
    p, y = np.concatenate([one["probability"] for one in own]), np.concatenate(labels)
    edges = np.digitize(p, BINS[1:-1])
    return {
        "area": areas,
        "brier": float(np.mean((p - y) ** 2)),
        "wrong_of_called_complex": float(np.mean(~y[p >= 0.8])),
        "wrong_of_called_simple": float(np.mean(y[p <= 0.2])),
        "reliability": [
            {
                "from": BINS[b],
                "to": BINS[b + 1],
                "patients": int((edges == b).sum()),
                "mean_probability": float(p[edges == b].mean()),
                "complex": float(y[edges == b].mean()),
            }
            for b in range(len(BINS) - 1)
            if (edges == b).any()
        ],
    }


def main() -> None:
    """Run the chosen cells and write results.json from every finished one."""
    outcome = run_cells(plan(), work, ledger=LEDGER, choice=command.parse(__doc__ or ""))
    results = outcome.results()
    before = stored(FOLDER / "results.json", PROTOCOL)
    costs = [{key: one[key] for key in ("kind", "decoder", "seed", *COSTS)} for one in results]
    at = ("kind", "decoder")
    table, costs = carried(before, rows(results), costs, row_at=at, cost_at=(*at, "seed"))
    head, done = outcome.head(), sum(len(row["seeds"]) for row in table)
    head |= {
        "cells_done": done,
        "cells_carried": sum(len(row["seeds"]) for row in table if row.get("carried")),
        "commits": sorted({*head["commits"], *before.get("commits", [])}),
    }
    answer = {"task": "complexity", **head, "protocol": PROTOCOL, "machine": machine.describe()}
    answer |= {"table": table, "bars": bars(table), "costs": costs}
    write_json(FOLDER / "results.json", answer)
    for bar in answer["bars"]:
        state = "met" if bar["met"] else "MISSED"
        measured = f"{bar['measured']} (bar {bar['bar']})"
        command.say(f"{state:>8}  {bar['what']}, {bar['decoder']}: {measured}")


if __name__ == "__main__":
    main()
