"""Target attainment of chosen doses: python -m benchmarks.dose_quality.run --help."""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.dose_quality import ours, peers
from benchmarks.dose_quality.patients import draw
from benchmarks.dose_quality.rows import CIRRHOSIS, CIRRHOSIS_CV, ROWS
from benchmarks.harness import command, machine
from benchmarks.harness.cells import Cell, Ledger, run_cells, write_json
from benchmarks.harness.statistics import bootstrap

FOLDER = Path(__file__).parent
SEEDS, SUBJECTS, TRAINING, LEVELS = (1, 2, 3), 1000, 500, (0, 1, 2)
PROTOCOL = {
    "version": 1,
    "subjects": SUBJECTS,
    "training": TRAINING,
    "rows": {
        row.name: [row.model, row.other, row.target, row.low, row.high] for row in ROWS.values()
    },
    "cirrhosis": [CIRRHOSIS, CIRRHOSIS_CV],
    "oracle draws": peers.DRAWS,
    "draws": ours.DRAWS,
}
LEDGER = Ledger(FOLDER, PROTOCOL)
METHODS = {
    "label": "label",
    "sawchuk-zaske": "two levels, log-linear (Sawchuk-Zaske)",
    "map": "MAP, true model",
    "best": "posterior of the true model: the best attainable",
    "library": "ours, library model",
    "trained": "ours, trained on 500",
    "other": "ours, another library model",
}
CLOSE, WORSE = -0.03, -0.01  # bars: against the best attainable; lower bound against MAP


def plan() -> list[Cell]:
    """Seed by seed: peers, published models, the fit, the trained model."""
    return [
        Cell({"row": row, "arm": arm, "levels": levels, "seed": f"seed-{seed}"})
        for seed in SEEDS
        for row in ROWS
        for arm in ("peers", "library", "fit", "trained", "other")
        for levels in (LEVELS if arm != "fit" else (-1,))
    ]


def work(cell: Cell) -> dict[str, Any]:
    """Choose doses for a row's patients by one arm."""
    row, arm = ROWS[cell.settings["row"]], cell.settings["arm"]
    levels, seed = cell.settings["levels"], int(cell.settings["seed"].removeprefix("seed-"))
    folder = FOLDER / "cells" / f"{row.name.replace(' ', '-')}-{seed}.model"
    if arm == "fit":
        return ours.fit(row, TRAINING, 1000 + seed, folder)
    patients = draw(row, SUBJECTS, seed)
    if arm == "peers":
        return {"exposure": _peers(row.name, levels, seed)}
    if arm == "trained" and not folder.is_dir():
        raise FileNotFoundError("the row's trained model: run its fit first (--only fit)")
    found = ours.recommended(patients, levels, ours.predictor(row, arm, folder))
    asked = np.array([np.nan if one is None else one for one in found.pop("daily")])
    daily = np.where(np.isnan(asked), patients.label.daily, asked)  # refused: stays at the label
    return {"exposure": {arm: _short(patients.exposure(daily))}, **found}


def _peers(name: str, levels: int, seed: int) -> dict[str, list[float]]:
    patients = draw(ROWS[name], SUBJECTS, seed)
    choices = peers.Choices.of(patients)
    best, _, _ = peers.best_attainable(patients, choices, levels)
    daily = {
        "label": patients.label.daily,
        "map": peers.most_probable(patients, choices, levels),
        "best": best,
    }
    if levels == 2:
        daily["sawchuk-zaske"], _ = peers.sawchuk_zaske(patients, choices)
    return {method: _short(patients.exposure(value)) for method, value in daily.items()}


def _short(values: np.ndarray) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


Hits = dict[tuple[str, int, str], dict[tuple[str, str], dict[str, np.ndarray]]]


def summarize(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Attainment of each method by row and levels, its differences to the best and to MAP."""
    hits = _hits(results)
    scopes = [*ROWS, "all rows"]
    table = [
        one
        for scope in scopes
        for levels in LEVELS
        for method in METHODS
        if (one := _line(hits, scope, levels, method)) is not None
    ]
    fits = [
        {key: one[key] for key in ("row", "seed", "chosen")}
        for one in results
        if one["arm"] == "fit"
    ]
    return {"table": table, "fits": fits, "bars": _bars(table)}


def _hits(results: list[dict[str, Any]]) -> Hits:
    """(scope, levels, method) to each (row, seed)'s patients: attained, toxic, flagged, refused."""
    found: Hits = {}
    for one in results:
        if one["arm"] == "fit":
            continue
        row = ROWS[one["row"]]
        verdict = np.array(one.get("verdict", []))
        for method, values in one["exposure"].items():
            value = np.array(values)
            kept = {
                "attained": (value >= row.low) & (value <= row.high),
                "toxic": value > row.high,
                "caution": verdict == "caution",
                "refused": verdict == "refuse",
            }
            for scope in (row.name, "all rows"):
                group = found.setdefault((scope, one["levels"], method), {})
                group[row.name, one["seed"]] = kept
    return found


def _line(hits: Hits, scope: str, levels: int, method: str) -> dict[str, Any] | None:
    """One method's figures, or None where no cell of it is done."""
    mine = hits.get((scope, levels, method))
    if mine is None:
        return None
    line: dict[str, Any] = {
        "row": scope,
        "levels": levels,
        "method": method,
        "patients": sum(one["attained"].size for one in mine.values()),
        "rows_and_seeds": len(mine),
        "attained": _shares([one["attained"].astype(float) for one in mine.values()]),
        "toxic": _mean(mine, "toxic"),
    }
    if method in ("library", "trained", "other"):
        line |= {name: _mean(mine, name) for name in ("caution", "refused")}
    for against in ("best", "map"):
        other = hits.get((scope, levels, against), {})
        both = sorted(set(mine) & set(other))
        if both and method != against:
            pairs = [
                mine[group]["attained"].astype(float) - other[group]["attained"] for group in both
            ]
            line[f"minus_{against}"] = _shares(pairs)
    return line


def _shares(groups: list[np.ndarray]) -> dict[str, float]:
    """Mean over all patients with its bootstrap interval, patients drawn again in each group."""

    def mean(index: list[Any]) -> float:
        drawn = [values[chosen] for values, chosen in zip(groups, index, strict=True)]
        return float(np.concatenate(drawn).mean())

    return bootstrap(mean, [values.size for values in groups]).json()


def _mean(mine: dict[Any, dict[str, np.ndarray]], name: str) -> float:
    return round(float(np.concatenate([one[name] for one in mine.values()]).mean()), 4)


def _bars(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Within 3 points of the best attainable; against MAP the lower bound above -1 point."""
    bars = []
    for one in table:
        if one["method"] not in ("library", "trained"):
            continue
        where = f"{one['row']}, {one['levels']} levels, {METHODS[one['method']]}"
        for name, key, at_least, what in (
            ("minus_best", "value", CLOSE, "minus the best attainable"),
            ("minus_map", "low", WORSE, "minus MAP, lower bound"),
        ):
            if name in one:
                value = one[name][key]
                met = bool(value >= at_least)
                bars.append(
                    {
                        "what": f"{where}: {what}",
                        "measured": value,
                        "at_least": at_least,
                        "met": met,
                    }
                )
    return bars


def main() -> None:
    """Run the chosen cells and write results.json from every finished one."""
    choice = command.parse(__doc__ or "")
    outcome = run_cells(plan(), work, ledger=LEDGER, choice=choice)
    summary = summarize(outcome.results())
    head = {"task": "dose_quality", **outcome.head(), "protocol": PROTOCOL}
    write_json(FOLDER / "results.json", {**head, "machine": machine.describe(), **summary})
    for one in summary["table"]:
        against = "".join(
            f"  -{name} {100 * one[key]['value']:+.1f} ({100 * one[key]['low']:+.1f})"
            for name, key in (("best", "minus_best"), ("MAP", "minus_map"))
            if key in one
        )
        share = 100 * one["attained"]["value"]
        command.say(f"{one['row']:18s} {one['levels']} {one['method']:14s} {share:5.1f} %{against}")
    missed = [bar for bar in summary["bars"] if not bar["met"]]
    command.say(f"{len(summary['bars']) - len(missed)} of {len(summary['bars'])} bars met")
    for bar in missed:
        command.say(f"    MISSED  {bar['what']}: {bar['measured']} (bar {bar['at_least']})")


if __name__ == "__main__":
    main()
