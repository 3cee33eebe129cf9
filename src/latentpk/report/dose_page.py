"""One self-contained page on a recommended dose, for a reader who must be able to disagree."""

from importlib.resources import files
from typing import Any

import numpy as np

from latentpk.report.dose_figures import alternatives_figure, record_figure, svg_text
from latentpk.report.html import Content, Html, element, facts, items, joined, table
from latentpk.report.words import percent
from latentpk.workflows.dose_curves import DoseCurves, Given

BEST = 10  # alternatives listed
UNKNOWN = "not known"
Found = dict[str, Any]

_VERDICTS = {
    "ok": "ok: no gate objects",
    "caution": "caution: read the reasons first",
    "refuse": "refuse: no dose",
}
_METHODS = {
    "is": "importance sampling",
    "adaptive": "adaptive importance sampling",
    "nuts": "NUTS",
}
_NAMES = {
    "cl": "clearance",
    "v1": "central volume",
    "v2": "second volume",
    "v3": "third volume",
    "q2": "flow to the second volume",
    "q3": "flow to the third volume",
    "ka": "absorption rate",
    "alag": "absorption lag",
    "f": "bioavailability",
}
_JUDGED = {
    "A computation": "k-hat of the weights, effective draws, or R-hat",
    "B domain": "breaches of the model's range",
    "C fit": "chance of levels this far off over what is allowed for (odds likewise)",
}
_LIMITS = [
    "This page is evidence to be judged, not advice. Whoever prescribes decides.",
    "No claim is made of conformity with any regulation, of clearance by any authority, or of "
    "clinical validation.",
    "Every probability holds only if the model holds for this patient.",
    "The last covariates are taken to stay as they are. A kidney or a weight that changes makes "
    "the forecast wrong.",
    "Times, amounts and levels are believed as the file gives them. A dose charted but not given, "
    "or a level drawn from the infusion's line, cannot be seen here.",
    "One drug, one measured compartment, and the kinetics that the model's card states: what the "
    "card does not have (saturable elimination, occasions) the patient does not have either.",
    "The effect, the organism, allergies, interactions and other drugs are not considered.",
]


def dose_page(found: Found, curves: DoseCurves) -> str:
    """Write the page.

    Args:
        found: The JSON values of `advise`.
        curves: Of `curves_of`.

    Returns:
        HTML that needs no network and no script.
    """
    title = f"Dose for patient {curves.id}"
    style = files("latentpk.report").joinpath("dose_page.css").read_text("utf-8")
    head = joined(
        Html('<meta charset="utf-8">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        element("title", title),
        element("style", Html(style)),
    )
    parts: list[Content] = [
        _header(found, title),
        _recommendation(found),
        _record(found, curves),
        _voices(found),
        _alternatives(found, curves),
        _amounts(found),
        _waiting(found),
        _parameters(found),
        _gates(found),
        _inputs(found, curves),
        _model(found),
        _levels(curves),
        _section("What this page cannot tell", items(_limits(found))),
    ]
    page = element(
        "html", element("head", head), element("body", element("main", parts)), lang="en"
    )
    return f"<!DOCTYPE html>\n{page.markup}\n"


def name_of(one: Found, unit: str) -> str:
    """A regimen in words, such as "1000 mg over 1 h every 12 h".

    Args:
        one: One of the JSON's alternatives.
        unit: Of its amounts.
    """
    interval, infusion = one["interval"], one["infusion"]
    how = "" if not infusion else f" over {_number(infusion)} h"
    if infusion == interval:
        how = " as a continuous infusion, a new one"
    said = f"{_number(one['amount'])} {unit}{how} every {_number(interval)} h"
    if one["loading"] is not None:
        said += f", the first dose {_number(one['loading'])} {unit}"
    return said


def _header(found: Found, title: str) -> Html:
    verdict = found["verdict"]
    said = found["reasons"] or ["No gate has anything to say against this answer."]
    badge = element("span", _VERDICTS.get(verdict, verdict), class_=f"badge {verdict}")
    return element("header", element("h1", title), element("p", badge), items(said, class_="why"))


def _recommendation(found: Found) -> Html:
    if found["recommended"] is None:
        said = "No dose is recommended: the reasons are above."
        return _section("Recommendation", element("p", said, class_="answer refuse"))
    unit, target = found["units"], found["inputs"]["target"]
    one = found["alternatives"][found["recommended"]]
    said = (
        f"{name_of(one, unit['amount'])}, from {_number(found['inputs']['start [h]'])} h on: "
        f"{_percent(one['probability'])} probability of {target['says']}"
    )
    toxic = one["probability_toxic"]
    limit = target["toxic"] if target["toxic"] is not None else target["high"]
    if toxic is not None:
        said += f", {_percent(toxic)} of more than {_number(limit)} {unit['exposure']}"
    lines = [
        f"What is judged: {target['metric']}, the {target['measured']}. "
        f"Its median (5 to 95 %) is {_spread(one['exposure'])} {unit['exposure']}.",
        f"Where the target is from: {target['citation']}.",
    ]
    return _section(
        "Recommendation",
        element("p", f"{said}.", class_="answer"),
        [element("p", x) for x in lines],
    )


def _record(found: Found, curves: DoseCurves) -> Html:
    figure = record_figure(curves, found["units"]["amount"])
    if figure is None:
        return _section("The curve", element("p", "There is no curve to draw."))
    words = ["Line: posterior median. Shaded: 90 % of the concentration, without assay error."]
    if curves.fitted is not None:
        words.append("Dashed: what doses and covariates alone would predict.")
    if curves.target is None:
        words.append("The target is an area, so it is no band of concentration here.")
    drawn = ["the fitted curve"] * (curves.fitted is not None)
    drawn += ["the recommended regimen"] * (curves.recommended is not None)
    title = f"Drawn: {', then '.join(drawn)}"
    return _section("The curve", _figure(figure, "record", title, words))


def _alternatives(found: Found, curves: DoseCurves) -> Html | None:
    ranked, unit = found["alternatives"], found["units"]
    if not ranked:
        return None
    titles = [
        f"{name_of(ranked[i], unit['amount'])}\nin range {_percent(ranked[i]['probability'])}"
        for i, _ in curves.alternatives
    ]
    figure = alternatives_figure(curves, [title.replace(", the", ",\nthe") for title in titles])
    words = [
        "The best regimens that differ in interval, infusion, or by 10 % in daily amount, from the "
        "first new dose on. Dashed: the recommended one's median."
    ]
    if found["inputs"]["at"] == "ss":
        words.append("The target is judged later, at steady state.")
    drawn = None if figure is None else _figure(figure, "others", "Alternatives' curves", words)
    more = len(ranked) - min(len(ranked), BEST)
    rest = f"The {BEST} best of {len(ranked)}; the JSON file holds {more} more." if more else ""
    note = element("p", rest, class_="note") if rest else None
    return _section("Alternatives", drawn, _ranking(found), note)


def _ranking(found: Found) -> Html:
    unit = found["units"]
    shown = found["alternatives"][:BEST]
    loaded = any(one["loading"] is not None for one in shown)
    toxic = any(one["probability_toxic"] is not None for one in shown)
    head = ["", f"amount [{unit['amount']}]", "every [h]", "infusion [h]"]
    head += [f"first dose [{unit['amount']}]"] * loaded + ["in range"] + ["above limit"] * toxic
    head += [f"exposure [{unit['exposure']}]", f"first 24 h [{unit['exposure']}]"]
    rows = []
    for i, one in enumerate(shown):
        first = one["amount"] if one["loading"] is None else one["loading"]
        row = [str(i + 1), *(_number(one[key]) for key in ("amount", "interval", "infusion"))]
        row += [_number(first)] * loaded + [_percent(one["probability"])]
        row += [_percent(one["probability_toxic"])] * toxic
        rows.append([*row, _spread(one["exposure"]), _spread(one["first_24h"])])
    words = "Exposures: median (5 to 95 %). Infusion 0 h: a bolus, or by mouth."
    return joined(
        table(head, rows, chosen=found["recommended"]), element("p", words, class_="note")
    )


def _amounts(found: Found) -> Html | None:
    if not found["optimal_amount"]:
        return None
    unit = found["units"]["amount"]
    rows = [
        [_number(one["interval"]), _number(one["infusion"]), _number(one["amount"])]
        for one in found["optimal_amount"]
    ]
    words = (
        "The amount of least expected distance from the best value of the target, for each "
        "interval and infusion; not rounded to what can be given."
    )
    shown = table(["every [h]", "infusion [h]", f"amount [{unit}]"], rows)
    return _section("Best amounts before rounding", element("p", words, class_="note"), shown)


def _waiting(found: Found) -> Html | None:
    if found["recommended"] is None:
        return None
    hold, sample = found["hold_until"], found["next_sample"]
    start = _number(found["inputs"]["start [h]"])
    lines = [f"Nothing speaks for waiting beyond {start} h."]
    if hold is not None:
        lines = [
            f"Hold until {_number(hold)} h: before, the concentration is more likely than not "
            f"above what the target allows. The figures are of doses from {start} h on."
        ]
    if sample is not None:
        lines.append(
            f"The next level tells most at {_number(sample['time'])} h: it is expected to narrow "
            f"the SD of the log exposure from {sample['sd_now']:.2f} to {sample['sd_then']:.2f}."
        )
    return _section("When to wait, when to sample", items(lines))


def _parameters(found: Found) -> Html:
    told = found["posterior"]
    head = ["parameter", "unit", "typical", "MAP", "median", "5 %", "95 %"]
    rows = [
        [
            f"{name} ({_NAMES[name]})" if name in _NAMES else name,
            one["unit"],
            *(_number(one[key]) for key in ("typical", "map", "median", "lo", "hi")),
        ]
        for name, one in told.get("parameters", {}).items()
    ]
    words = (
        f"Computed by {_METHODS.get(told['method'], told['method'])}: "
        f"{told['effective draws']:.0f} effective draws, k-hat {_number(told['pareto k'], 2)}. "
        "Typical: the prior's centre with this patient's covariates. MAP: the highest mode, a "
        "point and no posterior. Where all are equal the model holds the parameter fixed."
    )
    shown: Content = table(head, rows)
    if not rows:
        shown = element("p", "This model's decoder has no parameters with names.")
    return _section("Before and after the levels", shown, element("p", words, class_="note"))


def _gates(found: Found) -> Html:
    rows = [
        [
            gate["gate"],
            gate["verdict"],
            _number(gate["value"], 3),
            _number(gate["threshold"], 3),
            _JUDGED.get(gate["gate"], ""),
            gate["sentence"],
        ]
        for gate in found["gates"]
    ]
    head = ["gate", "verdict", "value", "caution begins at", "what is judged", "what it says"]
    return _section("The three gates", element("div", table(head, rows), class_="words"))


def _inputs(found: Found, curves: DoseCurves) -> Html:
    inputs = found["inputs"]
    apart = ("target", "at", "defaults", "reading")
    at = "steady state" if inputs["at"] == "ss" else f"{_number(inputs['at'])} h"
    pairs = [("patient", curves.id), ("target", inputs["target"]["says"]), ("judged at", at)]
    pairs += [(name, _words(value)) for name, value in inputs.items() if name not in apart]
    pairs.append(("doses of the record", _doses(curves.given, found["units"]["amount"])))
    defaults = inputs["defaults"] or ["Nothing: every choice was given."]
    return _section(
        "Inputs",
        facts(pairs),
        element("h3", "Taken as default"),
        items(defaults),
        element("h3", "Choices made in reading the file"),
        items(inputs["reading"] or ["None."]),
    )


def _voices(found: Found) -> Html | None:
    """Where several models were asked: what each says of the recommended regimen."""
    models = found["posterior"].get("models")
    if models is None:
        return None
    said: dict[str, Found] = {}
    if found["recommended"] is not None:
        best = found["alternatives"][found["recommended"]]
        said = {one["name"]: one for one in best["models"]}
    rows = []
    for one in models:
        own = said.get(one["name"])
        opinion = ["-", "-"]
        if own is not None:
            opinion = [_percent(own["probability"]), _spread(own["exposure"])]
        rows.append([one["name"], _percent(one["weight"]), one["verdict"], *opinion])
    unit = found["units"]["exposure"]
    head = ["model", "weight", "verdict", "in range", f"exposure [{unit}]"]
    words = (
        "The answer is their average: each weighs as much as it makes the levels likely, and all "
        "alike before the first level. In range and exposure: of the recommended regimen. "
        "Parameters, typical curve, MAP and residuals on this page are of "
        f"{found['posterior']['of']}."
    )
    return _section("What each model says", table(head, rows), element("p", words, class_="note"))


def _limits(found: Found) -> list[str]:
    """What cannot be told; of one model also that others may disagree."""
    first, second, third, *others = _LIMITS
    if not isinstance(found["model"], list):
        third = f"{third} It does not count that another model of the same drug may say otherwise."
    else:
        third = f"{third} The models' weights count only the models that were asked."
    return [first, second, third, *others]


def _model(found: Found) -> Html:
    several = isinstance(found["model"], list)
    models = found["model"] if several else [found["model"]]
    told = [facts([(k, _words(v)) for k, v in one.items()]) for one in models]
    return _section("The models" if several else "The model", *told)


def _levels(curves: DoseCurves) -> Html:
    title, levels = "The patient's own levels", curves.levels
    if levels is None:
        return _section(title, element("p", "No finite posterior: nothing was fitted."))
    if levels.time.size == 0:
        said = "No level was used: the answer rests on doses and covariates alone."
        return _section(title, element("p", said))
    head = [f"{name} [{curves.unit}]" for name in ("observed", "population", "fitted (5 to 95 %)")]
    rows = [
        [
            _number(time),
            f"below {_number(seen)}" if censored else _number(seen),
            _number(population),
            f"{_number(median)} ({_number(lo)} to {_number(hi)})",
            _number(mode),
            "below the limit" if censored else f"{residual:+.2f}",
        ]
        for time, seen, censored, population, median, lo, hi, mode, residual in zip(
            *(vars(levels)[name] for name in _COLUMNS), strict=True
        )
    ]
    words = (
        "Population: from doses and covariates alone. Residual: (observed - MAP) in standard "
        "deviations of the model's error. A fit is not a forecast: these levels were used."
    )
    shown = table(["time [h]", *head, f"MAP [{curves.unit}]", "residual [SD]"], rows)
    return _section(title, shown, element("p", words, class_="note"))


_COLUMNS = (
    "time", "observed", "censored", "population", "median", "lo", "hi", "mode", "residual",
)  # fmt: skip


def _section(title: str, *content: Content) -> Html:
    return element("section", element("h2", title), *content)


def _figure(figure: Any, name: str, title: str, words: list[str]) -> Html:
    drawn = element("div", Html(svg_text(figure, name)), role="img", aria_label=title)
    return element("figure", drawn, element("figcaption", f"{title}. {' '.join(words)}"))


def _doses(given: Given, unit: str) -> str:
    """Doses in words; equal ones at equal gaps together."""
    if given.time.size == 0:
        return "none"
    said, i = [], 0
    while i < given.time.size:
        last = _run(given, i)
        how = f" over {_number(given.duration[i])} h" if given.duration[i] > 0 else ""
        text = f"{_number(given.amount[i])} {unit}{how} at {_number(given.time[i])} h"
        if last > i:
            gap = _number(given.time[i + 1] - given.time[i])
            text += f" and every {gap} h until {_number(given.time[last])} h ({last - i + 1} doses)"
        said.append(text)
        i = last + 1
    return "; ".join(said)


def _run(given: Given, first: int) -> int:
    """Index of the last dose that continues the series begun at `first`."""
    last = first
    while last + 1 < given.time.size:
        new = last + 1
        alike = given.amount[new] == given.amount[first]
        alike &= given.duration[new] == given.duration[first]
        gap = given.time[first + 1] - given.time[first]
        if not alike or not np.isclose(given.time[new] - given.time[last], gap):
            break
        last = new
    return last


def _words(value: Any) -> str:
    """A JSON value in words."""
    match value:
        case None:
            return "none given"
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return _number(value)
        case dict():
            return "; ".join(f"{name}: {_words(one)}" for name, one in value.items()) or "none"
        case list() if len(value) > 12:
            return f"{_words(value[0])} to {_words(value[-1])}, {len(value)} values"
        case list():
            return ", ".join(_words(one) for one in value) or "none"
    return str(value)


def _number(value: float | None, digits: int = 4) -> str:
    if value is None or not np.isfinite(value):
        return UNKNOWN
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.{digits}g}"


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None or not np.isfinite(share) else percent(share)


def _spread(one: Found) -> str:
    return f"{_number(one['median'])} ({_number(one['lo'])} to {_number(one['hi'])})"
