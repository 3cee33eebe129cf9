"""Every figure as Markdown, for docs/figures.md, made from the results.json of each task."""

from collections.abc import Callable
from typing import Any

from benchmarks.figures_population import complexity, covariates, mixture, population, tacrolimus
from benchmarks.figures_profiles import (
    complex_profiles,
    field_cost,
    general,
    leave_one_out,
    tdm1,
)
from benchmarks.markdown import cells_done, table

COHORTS = {
    "vancomycin-2c-infusion": "two-compartment infusion",
    "oral-1c": "one-compartment oral",
    "two-peaks": "two absorption peaks",
}
METHODS = {
    "auto": "`fit`, all on auto",
    "compartment": "compartment",
    "compartment-map": "its mode (MAP)",
    "compartment-population": "its population prediction",
    "kernel": "kernel",
    "pkvae": "published PKVAE",
}
CHOOSERS = {
    "label": "label",
    "sawchuk-zaske": "Sawchuk-Zaske",
    "map": "MAP, true model",
    "best": "best attainable",
    "library": "ours, library model",
    "trained": "ours, trained on 500",
    "other": "ours, another model",
}


def figures(results: Callable[[str], dict[str, Any] | None]) -> str:
    """Markdown of what was measured; a task without results has no line.

    Args:
        results: The results.json of a task, or None.
    """
    parts = [
        render(found)
        for task, render in (
            ("forecast_oracle", _forecast),
            ("calibration", _calibration),
            ("encoder_worth", _encoder),
            ("speed", _speed),
            ("real_data", _real),
            ("trust", _trust),
            ("dose_quality", _quality),
            ("dosing_speed", _dosing_speed),
            ("start_from", _start_from),
            ("population", population),
            ("covariates", covariates),
            ("tacrolimus", tacrolimus),
            ("mixture", mixture),
            ("complexity", complexity),
            ("complex_profiles", complex_profiles),
            ("tdm1", tdm1),
            ("leave_one_out", leave_one_out),
            ("field_cost", field_cost),
            ("general", general),
            ("nano_tumor", _nano),
        )
        if (found := results(task)) is not None
    ]
    return "\n".join(parts)


def _forecast(found: dict[str, Any]) -> str:
    cells = {(row["cohort"], row["n"], row["method"]): row for row in found["table"]}
    columns = [(cohort, n) for cohort in COHORTS for n in (500, 100)]
    columns = [c for c in columns if any((*c, method) in cells for method in METHODS)]

    def cell(cohort: str, n: int, method: str) -> str:
        row = cells.get((cohort, n, method))
        if row is None:
            return ""
        ratio = row["ratio_to_oracle"]
        seeds = len(row["seeds"])
        mark = "" if seeds == 3 else f", {seeds} seed{'s' if seeds > 1 else ''}"
        return f"{ratio['value']:.2f} ({ratio['low']:.2f}-{ratio['high']:.2f}{mark})"

    rows = [
        [label, *(cell(cohort, n, method) for cohort, n in columns)]
        for method, label in METHODS.items()
    ]
    head = ["error of later levels / oracle's", *(f"{COHORTS[c]}, n = {n}" for c, n in columns)]
    return (
        "**Forecasts against the Bayes oracle**, which knows the true model and population: 500 "
        "unseen patients a seed, 1-4 levels each, log-RMSE of later concentrations over the "
        "oracle's, with a 95 % interval. "
        + cells_done(found)
        + "\n\n"
        + table(head, [row for row in rows if any(row[1:])])
        + _fresh(found)
    )


def _fresh(found: dict[str, Any]) -> str:
    """Seeds first run after the rules of the choice were set."""

    def said(name: str) -> str:
        return "; ".join(
            f"{COHORTS[row['cohort']]}, {METHODS[row['method']]}, n = {row['n']}: "
            f"{row['ratio_to_oracle']['value']:.2f} ({row['ratio_to_oracle']['low']:.2f}-"
            f"{row['ratio_to_oracle']['high']:.2f}), coverage {row['coverage90']['value']:.3f}, "
            f"{len(row['seeds'])} seed{'s' * (len(row['seeds']) != 1)}"
            for row in found.get(name, ())
            if row["method"] in ("auto", "kernel") and row["n"]
        )

    texts = [
        (
            "Seeds 4 and 5 were first run when the rules stood by which `auto` chooses, and "
            "changed one (all subjects are held out where a quarter leaves the second compartment "
            "open): ",
            said("fresh"),
        ),
        ("Seeds 6 and 7 were run after that: ", said("last")),
    ]
    return "".join(f"\n{head}{text}.\n" for head, text in texts if text)


def _calibration(found: dict[str, Any]) -> str:
    ours = [row for row in found["table"] if row["method"] != "oracle"]
    shares = [
        f"{row['coverage90']['value']:.3f} ({COHORTS[row['cohort']]}, {row['method']}, "
        f"n = {row['n']}, {row['measurements']} measurements)"
        for row in sorted(ours, key=lambda r: (-r["n"], list(COHORTS).index(r["cohort"])))
    ]
    return (
        "**Calibration**: share of new measurements of unseen patients within the 90 % prediction "
        f"interval: {'; '.join(shares)}.\n"
    )


def _encoder(found: dict[str, Any]) -> str:
    rows = [
        [
            f"{COHORTS[row['cohort']]}, {row['decoder']}",
            row["arm"],
            f"{row['ratio_to_oracle']['value']:.3f}",
            f"{row['ms_per_patient']:.2f}",
            ", ".join(f"{name} {100 * share:.0f} %" for name, share in row["rungs"].items()),
        ]
        for row in found["table"]
    ]
    head = ["cohort and decoder", "posterior by", "error / oracle's", "ms a patient", "rungs"]
    return (
        "**What the encoder is worth** (one thread, in blocks). "
        + cells_done(found)
        + "\n\n"
        + table(head, rows)
    )


def _speed(found: dict[str, Any]) -> str:
    rows = [
        [
            bar["what"],
            f"{bar['measured']:.3g}",
            f"{bar['at_most']:g}",
            "yes" if bar["met"] else "no",
        ]
        for bar in found["bars"]
    ]
    growth = "; ".join(
        f"{what.removesuffix('-growth')} "
        + ", ".join(f"{n} subjects {seconds:.1f} s" for n, seconds in one["seconds"].items())
        for what, one in found["growth"].items()
        if one["seconds"]
    )
    tail = f"\nGrowth (warm cache): {growth}.\n" if growth else ""
    return (
        "**Speed**, whole processes on two cores, seconds (memory: GB). "
        + cells_done(found)
        + "\n\n"
        + table(["what", "measured", "bar", "met"], rows)
        + tail
    )


def _trust(found: dict[str, Any]) -> str:
    def share(value: float | None) -> str:
        return "" if value is None else f"{100 * value:.1f} %"

    rows = [
        [
            row["scenario"],
            share(row["wrong"]),
            share(row["flagged"]),
            share(row["wrong_flagged"]),
            share(row.get("ratio_test_flagged")),
        ]
        for row in found["table"]
    ]
    head = [
        "scenario",
        "forecast wrong",
        "flagged",
        "flagged of the wrong",
        "the ratio test's share",
    ]
    return (
        "**What the gates see**: forecasts more than 50 % off, from three levels; the likelihood "
        "ratio test knows the alternative, at 5 % false alarms. "
        + cells_done(found)
        + "\n\n"
        + table(head, rows)
    )


def _quality(found: dict[str, Any]) -> str:
    cells = {(one["row"], one["levels"], one["method"]): one for one in found["table"]}
    keys = list(dict.fromkeys(key[:2] for key in cells))

    def share(row: str, levels: int, method: str) -> str:
        one = cells.get((row, levels, method))
        return "" if one is None else f"{100 * one['attained']['value']:.1f}"

    def against(row: str, levels: int, method: str) -> str:
        one = cells.get((row, levels, method), {})
        keys = ("expected_minus_best", "expected_minus_map")
        parts = [
            f"{100 * one[k]['value']:+.1f} ({100 * one[k]['low']:+.1f})" for k in keys if k in one
        ]
        return " / ".join(parts)

    rows = [
        [
            row,
            str(levels),
            *(share(row, levels, method) for method in CHOOSERS),
            *(against(row, levels, method) for method in ("library", "trained")),
        ]
        for row, levels in keys
    ]
    head = ["patients", "levels", *CHOOSERS.values()]
    head += ["library model minus best / MAP", "trained minus best / MAP"]

    def met(expected: bool) -> str:
        mine = [bar["met"] for bar in found["bars"] if ("expected" in bar["what"]) == expected]
        return f"{sum(mine)} of {len(mine)}"

    return (
        "**Dose quality**: % of virtual patients whose true exposure reaches the target. The "
        "differences, in points with the lower 95 % bound, are of the share expected: each "
        "patient's truth averaged over what it may be. "
        + cells_done(found)
        + f" {met(True)} bars are met by the share expected, {met(False)} by the share attained, "
        "whose differences 1,000 patients tell to 1.5 points.\n\n" + table(head, rows)
    )


def _dosing_speed(found: dict[str, Any]) -> str:
    limits = {bar["what"]: bar for bar in found["bars"]}
    rows = [
        [
            what,
            f"{one['median']:.3g}",
            f"{limits[what]['at_most']:g}" if what in limits else "",
            ("yes" if limits[what]["met"] else "no") if what in limits else "",
        ]
        for what, one in found["seconds"].items()
    ]
    return (
        "**Speed of doses**, warm process, two threads, median seconds. "
        + cells_done(found)
        + "\n\n"
        + table(["what", "measured", "bar", "met"], rows)
    )


def _start_from(found: dict[str, Any]) -> str:
    names = {
        "source": "the published model as it is",
        "start-from": "`fit --start-from`",
        "scratch": "`fit` from nothing",
    }
    where = {"shifted": "clearance x 1.5, volume x 1.25", "same": "as published"}
    rows = []
    for row in found["table"]:
        if row["method"] in names:
            ratio = row["ratio_to_oracle"]
            rows.append(
                [
                    where[row["cohort"]],
                    names[row["method"]],
                    str(row["n"]) if row["n"] else "",
                    f"{ratio['value']:.2f} ({ratio['low']:.2f}-{ratio['high']:.2f})",
                    f"{row['coverage90']['value']:.3f}",
                    str(len(row["seeds"])),
                ]
            )
    head = ["the local truth", "method", "local patients", "error / oracle's", "coverage", "seeds"]
    return (
        "**Starting from a published model** at a site of one's own: 200 unseen local patients a "
        "seed; the oracle knows the local truth. " + cells_done(found) + "\n\n" + table(head, rows)
    )


def _real(found: dict[str, Any]) -> str:
    names = ("mpe", "mape", "rmse", "within20", "log_rmse")
    rows = [
        [
            row["data"],
            row["method"],
            *(f"{row['metrics'][name]['value']:.3g}" for name in names if name in row["metrics"]),
            _against(row),
        ]
        for row in found["table"]
        if " of " not in row["method"]  # other summaries of the same posterior: in results.json
    ]
    shown = [n for n in names if found["table"] and n in found["table"][0]["metrics"]]
    head = ["data", "method", *shown, "log-RMSE minus MAP's (95 %)"]
    return (
        "**Real data**, 5-fold by subject: later levels forecast from the first. "
        + cells_done(found)
        + "\n\n"
        + table(head, rows)
    )


def _against(row: dict[str, Any]) -> str:
    if "minus_map" not in row:
        return ""
    one = row["minus_map"]["log_rmse"]
    return f"{one['value']:+.3f} ({one['low']:+.3f} to {one['high']:+.3f})"


def _nano(found: dict[str, Any]) -> str:
    names = found["targets"]
    said = {"random": "random folds", "study": "folds that keep studies together"}
    parts = []
    for scheme, own in found["table"].items():
        scores = own["scores"]
        rows = [
            [model, *(f"{scores[name][model]['r2']:.3f}" for name in names)]
            for model in scores[names[0]]
        ]
        repeats = found["repeats"][scheme]
        parts.append(
            f"**Nanoparticles**, R2 of log10 on rows not seen, {said[scheme]} ({repeats} "
            f"repeat{'s' * (repeats != 1)}):\n\n{table(['', *names], rows)}"
        )
        cover = own["coverage_of_the_ensemble"]
        both = [[scores[n][m]["interval_score90"] for m in ("ensemble", "mean")] for n in names]
        ratio = [one / other for one, other in both]
        rows = [
            ["coverage of 90 % intervals (bootstrap over studies)"]
            + [
                f"{cover[name][0]:.2f} ({cover[name][1]:.2f}-{cover[name][2]:.2f})"
                for name in names
            ],
            ["interval score over the mean's constant interval", *(f"{v:.2f}" for v in ratio)],
        ]
        parts.append(table(["the ensemble", *names], rows))
    for scheme, own in found["update"].items():
        rows = [[name, f"{value:.3f}"] for name, value in own["log_rmse"].items()]
        parts.append(
            f"Later measurements in the tumor, {said[scheme]} ({own['measurements']} of "
            f"{own['particles']} particles; coverage of 90 % after one measurement "
            f"{own['coverage90_after_one']:.2f}):\n\n"
            + table(["predictor", "RMSE of the logarithm"], rows)
        )
    ablation = found["ablation_r2_of_the_network"]
    for scheme, own in ablation.items():
        if own:
            rows = [[name, *(f"{value:.3f}" for value in values)] for name, values in own.items()]
            parts.append(
                f"The network alone, ablated, {said[scheme]}, one repeat:\n\n"
                + table(["", *names], rows)
            )
    through = found["delivery_through_pbpk_r2"]
    if through:
        rows = [
            [f"{label}, {scheme}", *(f"{value:.3f}" for value in own[key])]
            for scheme, own in through.items()
            for key, label in (
                ("direct", "a forest of delivery itself"),
                ("through", "the PBPK model of a forest's six parameters"),
                ("constant", "the PBPK model of one constant set"),
            )
        ]
        parts.append(
            "Delivery directly and through the PBPK model, R2:\n\n" + table(["", *names[4:]], rows)
        )
    if found["leaky"]:
        rows = [["R2", *(f"{value:.2f}" for value in found["leaky"]["r2"])]]
        parts.append(
            "A CAUTION, not a result: synthetic rows added before the split, and the best of nine "
            "settings and dealings kept, as published protocols did. These scores say nothing of "
            f"new particles:\n\n{table(['extra trees, leaky', *names], rows)}"
        )
    rows = [
        [bar["what"], f"{bar['measured']}", bar["bar"], "yes" if bar["met"] else "**no**"]
        for bar in found["bars"]
    ]
    parts.append(
        f"Bars and goals; {found['cells_done']} of {found['cells_planned']} cells are done:\n\n"
        + table(["what", "measured", "bar", "met"], rows)
    )
    return "\n\n".join(parts) + "\n"
