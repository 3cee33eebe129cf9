"""The README's summary and docs/figures.md, from each results.json: python -m benchmarks.readme."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.figures import COHORTS, figures
from benchmarks.markdown import table
from benchmarks.tdm1.run import FOLDS

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- figures -->\n", "<!-- /figures -->"
HEAD = """# Figures

What was measured, whole; the README has the summary. `python -m benchmarks.readme` writes this
page from each `benchmarks/<task>/results.json`, which `make benchmark TASK=<task>` regenerates; the
tasks' READMEs say what was fixed before any fit, and what was tried where a bar is missed.

"""
Results = Callable[[str], dict[str, Any] | None]
Line = list[str]


def summary(results: Results) -> str:
    """One table of what was promised and what was measured.

    Args:
        results: The results.json of a task, or None.
    """
    rows = [
        line
        for task, lines in (
            ("forecast_oracle", _forecast),
            ("calibration", _calibration),
            ("real_data", _real),
            ("dose_quality", _quality),
            ("trust", _trust),
            ("start_from", _start_from),
            ("speed", _speed),
            ("dosing_speed", _dosing_speed),
            ("population", _population),
            ("covariates", _covariates),
            ("tacrolimus", _tacrolimus),
            ("mixture", _mixture),
            ("complexity", _complexity),
            ("complex_profiles", _complex_profiles),
            ("tdm1", _tdm1),
            ("leave_one_out", _leave_one_out),
            ("field_cost", _field_cost),
            ("general", _general),
            ("nano_tumor", _nano),
        )
        if (found := results(task)) is not None
        for line in lines(found)
    ]
    return table(["what", "measured", "bar", "met"], rows)


def _population(found: dict[str, Any]) -> Iterator[Line]:
    optima = found["optima"]
    worst = max(one["over_the_reference"] for one in optima)
    met = all(bar["met"] for bar in found["bars"] if "optimum" in bar["what"])
    yield [
        f"population fits, {len(optima)} published optima: -2 log L above, at worst",
        f"{max(worst, 0):.5f}",
        "0.001",
        _met(met),
    ]
    for bar in found["bars"]:
        if "whole process" in bar["what"]:
            yield [f"population fit, {bar['what']}", f"{bar['measured']}", "6", _met(bar["met"])]


def _covariates(found: dict[str, Any]) -> Iterator[Line]:
    for bar in found["bars"]:
        yield [f"covariates, {bar['what']}", f"{bar['measured']}", bar["bar"], _met(bar["met"])]


def _tacrolimus(found: dict[str, Any]) -> Iterator[Line]:
    for bar in found["bars"]:
        yield [f"tacrolimus, {bar['what']}", bar["measured"], bar["bar"], _met(bar["met"])]


def _mixture(found: dict[str, Any]) -> Iterator[Line]:
    names = {"bimodal": "two kinds of people", "unimodal": "one kind of people"}
    given = {"none": "before any level", "first": "later levels from the first two"}
    for population, name in names.items():
        for kind, words in given.items():
            bar = next(b for b in found["bars"] if b["kind"] == [population, kind])
            said = f"{bar['measured']:+.3f} ({bar['low']:+.3f} to {bar['high']:+.3f})"
            if population == "bimodal":
                truth = found["table"][population]["gap"][kind]["value"] + bar["measured"]
                said += f"; the true model {truth:+.3f}"
            what = f"{name}, {words}: log score of two groups minus one's [nats a person]"
            yield [what, said, bar["bar"], _met(bar["met"])]


def _complexity(found: dict[str, Any]) -> Iterator[Line]:
    for bar, row in zip(found["bars"], found["table"], strict=True):
        measured = f"{bar['measured']}"
        if "area" in row:
            area = row["area"]["two_kinds"]
            measured += f" ({area['low']:.3f}-{area['high']:.3f})"
        count = len(row["seeds"])
        what = f"complexity, {bar['what']}, {row['decoder']}, {count} seed{'s' * (count != 1)}"
        yield [what, measured, bar["bar"], _met(bar["met"])]


def _complex_profiles(found: dict[str, Any]) -> Iterator[Line]:
    words = {
        "auto over its oracle": "error of later levels over the oracle's",
        "an unseen regimen": "the same on unseen doses and intervals",
    }
    for bar in found["bars"]:
        if bar["what"] in words:
            seeds = f", {bar['seeds']} seed{'s' * (bar['seeds'] != 1)}"
            what = f"{bar['cohort']}: {words[bar['what']]}{seeds}"
            yield [what, f"{bar['value']:.3f}", f"<= {bar['at_most']}", _met(bar["met"])]


def _tdm1(found: dict[str, Any]) -> Iterator[Line]:
    for bar in found["bars"]:
        folds = f", {bar['folds']} of {FOLDS} folds" * (bar["folds"] < FOLDS)
        what = f"T-DM1, simulated: R2 of later cycles from the first{folds}"
        yield [what, f"{bar['value']:.4f}", f">= {bar['at_least']}", _met(bar["met"])]


def _leave_one_out(found: dict[str, Any]) -> Iterator[Line]:
    for bar in found["bars"]:
        what = f"{bar['data']}, one subject left out: log-RMSE against {bar['what']}"
        yield [what, f"{bar['value']:.3f}", f"<= {bar['at_most']}", _met(bar["met"])]


def _field_cost(found: dict[str, Any]) -> Iterator[Line]:
    for bar in found["bars"]:
        what = "learned field, fit of 500 subjects on two cores, whole process [s]"
        yield [what, f"{bar['value']:.0f}", f"<= {bar['at_most']:.0f}", _met(bar["met"])]


def _general(found: dict[str, Any]) -> Iterator[Line]:
    pairs = [row for row in found["table"] if "general_minus_this" in row]
    for method, name in (("auto", "`fit`"), ("neural_ode", "the same field from nothing")):
        rows = [row["general_minus_this"] for row in pairs if row["method"] == method]
        if rows:
            better = sum(row["high"] < 0 for row in rows)
            worse = sum(row["low"] > 0 for row in rows)
            said = f"better in {better}, worse in {worse}, within noise in "
            said += f"{len(rows) - better - worse} of {len(rows)}"
            yield [f"small studies, begun from the general model, against {name}", said, "", ""]


def _nano(found: dict[str, Any]) -> Iterator[Line]:
    for bar in found["bars"]:
        if "goal" in bar["bar"] or "the same, l" in bar["what"]:
            continue  # in docs/figures.md with the others
        met = _met(bar["met"])
        yield [f"nanoparticles, {bar['what']}", f"{bar['measured']}", bar["bar"], met]


def _met(met: bool) -> str:
    return "yes" if met else "**no**"


def _forecast(found: dict[str, Any]) -> Iterator[Line]:
    cells = {(row["cohort"], row["n"], row["method"]): row for row in found["table"]}
    for bar in found["bars"]:
        row = cells[bar["cohort"], bar["n"], bar["method"]]["ratio_to_oracle"]
        peer = cells.get((bar["cohort"], bar["n"], "pkvae"))
        beside = "" if peer is None else f"; PKVAE {peer['ratio_to_oracle']['value']:.2f}"
        yield [
            f"forecast error / the Bayes oracle's: {COHORTS[bar['cohort']]}, "
            f"{bar['method']}, trained on {bar['n']}",
            f"{row['value']:.2f} ({row['low']:.2f}-{row['high']:.2f}){beside}",
            f"{bar['at_most']:g}",
            _met(bar["met"]),
        ]


def _calibration(found: dict[str, Any]) -> Iterator[Line]:
    shares = [
        row["coverage90"]["value"]
        for row in found["table"]
        if row["method"] != "oracle" and row["n"] == 500
    ]
    if shares:
        low, high = found["bar"]["least"], found["bar"]["most"]
        yield [
            f"new measurements inside their 90 % interval, trained on 500, {len(shares)} models",
            f"{min(shares):.3f}-{max(shares):.3f}",
            f"{low:g}-{high:g}",
            _met(low <= min(shares) and max(shares) <= high),
        ]


def _real(found: dict[str, Any]) -> Iterator[Line]:
    said, worse = [], False
    for row in found["table"]:
        if row["method"] == "compartment" and "minus_map" in row:
            one = row["minus_map"]["log_rmse"]
            said.append(
                f"{row['data']} {one['value']:+.3f} ({one['low']:+.3f} to {one['high']:+.3f})"
            )
            worse |= one["low"] > 0
    if said:
        name = "real data: log-RMSE of later levels minus that of MAP"
        yield [name, "; ".join(said), "not above 0 beyond noise", _met(not worse)]


def _quality(found: dict[str, Any]) -> Iterator[Line]:
    for method in ("ours, library model", "ours, trained on 500"):
        for against, least in (("the best attainable", -0.03), ("MAP, lower bound", -0.01)):
            bars = [
                bar
                for bar in found["bars"]
                if bar["what"].endswith(f"{method}: expected, minus {against}")
                and not bar["what"].startswith("all rows")
            ]
            if bars:
                worst = min(bars, key=lambda bar: bar["measured"])
                yield [
                    f"chosen doses, {method}: chance of the target minus {against}; the worst of "
                    f"{len(bars)} rows ({worst['what'].split(', ours')[0]})",
                    f"{100 * worst['measured']:+.1f} points",
                    f"{100 * least:+.0f}",
                    _met(worst["met"]),
                ]

    attained = [bar["met"] for bar in found["bars"] if "expected" not in bar["what"]]
    yield [
        "the same by the share attained, which chance moves by 1.5 points: bars met",
        f"{sum(attained)} of {len(attained)}",
        "all",
        _met(all(attained)),
    ]


def _trust(found: dict[str, Any]) -> Iterator[Line]:
    for bar in found["bars"]:
        sign = "at most " if bar["what"] == "false alarms" else ""
        yield [
            f"gates: {bar['what']}",
            f"{100 * bar['measured']:.1f} %",
            f"{sign}{100 * bar['bar']:g} %",
            _met(bar["met"]),
        ]


def _start_from(found: dict[str, Any]) -> Iterator[Line]:
    names = {"source": "published", "start-from": "adapted", "scratch": "from nothing"}
    said = [
        f"{names[row['method']]} {row['ratio_to_oracle']['value']:.2f}"
        for row in found["table"]
        if row["cohort"] == "shifted" and row["method"] in names and row["n"] in (0, 10, None)
    ]
    if said:
        what = "ten patients of a site unlike the paper's: error / the oracle's"
        yield [what, "; ".join(said), "", ""]


def _speed(found: dict[str, Any]) -> Iterator[Line]:
    for bar in found["bars"]:
        memory = "memory" in bar["what"]
        scale, unit = (1.0, "GB") if memory else (1.0, "s") if bar["at_most"] >= 1 else (1e3, "ms")
        yield [
            bar["what"],
            f"{scale * bar['measured']:.3g} {unit}",
            f"{scale * bar['at_most']:g} {unit}",
            _met(bar["met"]),
        ]


def _dosing_speed(found: dict[str, Any]) -> Iterator[Line]:
    for what, *rest in _speed(found):
        if not what.endswith(": recommendation"):  # `both` holds it
            yield [what.replace(": both", ": posterior, and 60 regimens judged"), *rest]


def stored(task: str) -> dict[str, Any] | None:
    """The results.json of a task, if there is one."""
    path = ROOT / "benchmarks" / task / "results.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


def main() -> None:
    """Write the summary between the README's markers, and the page of all figures."""
    path = ROOT / "README.md"
    before, rest = path.read_text("utf-8").split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(before + BEGIN + summary(stored) + END + after, "utf-8")
    (ROOT / "docs" / "figures.md").write_text(HEAD + figures(stored), "utf-8")


if __name__ == "__main__":
    main()
