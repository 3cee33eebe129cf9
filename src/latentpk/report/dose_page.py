"""One self-contained page on a recommended dose, for a reader who must be able to disagree."""

from importlib.resources import files
from typing import Any

from latentpk.report.dose_evidence import evidence
from latentpk.report.dose_figures import alternatives_figure, record_figure, svg_text
from latentpk.report.dose_words import Found, chance, name_of, number, spread
from latentpk.report.html import Content, Html, element, items, joined, section, table
from latentpk.workflows.dose_curves import DoseCurves

BEST = 10  # alternatives listed

_VERDICTS = {
    "ok": "ok: no gate objects",
    "caution": "caution: read the reasons first",
    "refuse": "refuse: no dose",
}


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
        *evidence(found, curves),
    ]
    page = element(
        "html", element("head", head), element("body", element("main", parts)), lang="en"
    )
    return f"<!DOCTYPE html>\n{page.markup}\n"


def _header(found: Found, title: str) -> Html:
    verdict = found["verdict"]
    said = found["reasons"] or ["No gate has anything to say against this answer."]
    badge = element("span", _VERDICTS.get(verdict, verdict), class_=f"badge {verdict}")
    return element("header", element("h1", title), element("p", badge), items(said, class_="why"))


def _recommendation(found: Found) -> Html:
    if found["recommended"] is None:
        said = "No dose is recommended: the reasons are above."
        return section("Recommendation", element("p", said, class_="answer refuse"))
    unit, target = found["units"], found["inputs"]["target"]
    one = found["alternatives"][found["recommended"]]
    said = (
        f"{name_of(one, unit['amount'])}, from {number(found['inputs']['start [h]'])} h on: "
        f"{chance(one['probability'])} probability of {target['says']}"
    )
    toxic = one["probability_toxic"]
    limit = target["toxic"] if target["toxic"] is not None else target["high"]
    if toxic is not None:
        said += f", {chance(toxic)} of more than {number(limit)} {unit['exposure']}"
    lines = [
        f"What is judged: {target['metric']}, the {target['measured']}. "
        f"Its median (5 to 95 %) is {spread(one['exposure'])} {unit['exposure']}.",
        f"Where the target is from: {target['citation']}.",
    ]
    return section(
        "Recommendation",
        element("p", f"{said}.", class_="answer"),
        [element("p", x) for x in lines],
    )


def _record(found: Found, curves: DoseCurves) -> Html:
    figure = record_figure(curves, found["units"]["amount"])
    if figure is None:
        return section("The curve", element("p", "There is no curve to draw."))
    words = ["Line: posterior median. Shaded: 90 % of the concentration, without assay error."]
    if curves.fitted is not None:
        words.append("Dashed: what doses and covariates alone would predict.")
    if curves.target is None:
        words.append("The target is an area, so it is no band of concentration here.")
    drawn = ["the fitted curve"] * (curves.fitted is not None)
    drawn += ["the recommended regimen"] * (curves.recommended is not None)
    title = f"Drawn: {', then '.join(drawn)}"
    return section("The curve", _figure(figure, "record", title, words))


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
            opinion = [chance(own["probability"]), spread(own["exposure"])]
        rows.append([one["name"], chance(one["weight"]), one["verdict"], *opinion])
    unit = found["units"]["exposure"]
    head = ["model", "weight", "verdict", "in range", f"exposure [{unit}]"]
    words = (
        "The answer is their average: each weighs as much as it makes the levels likely, and all "
        "alike before the first level. In range and exposure: of the recommended regimen. "
        "Parameters, typical curve, MAP and residuals on this page are of "
        f"{found['posterior']['of']}."
    )
    return section("What each model says", table(head, rows), element("p", words, class_="note"))


def _alternatives(found: Found, curves: DoseCurves) -> Html | None:
    ranked, unit = found["alternatives"], found["units"]
    if not ranked:
        return None
    titles = [
        f"{name_of(ranked[i], unit['amount'])}\nin range {chance(ranked[i]['probability'])}"
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
    return section("Alternatives", drawn, _ranking(found), note)


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
        row = [str(i + 1), *(number(one[key]) for key in ("amount", "interval", "infusion"))]
        row += [number(first)] * loaded + [chance(one["probability"])]
        row += [chance(one["probability_toxic"])] * toxic
        rows.append([*row, spread(one["exposure"]), spread(one["first_24h"])])
    words = "Exposures: median (5 to 95 %). Infusion 0 h: a bolus, or by mouth."
    return joined(
        table(head, rows, chosen=found["recommended"]), element("p", words, class_="note")
    )


def _amounts(found: Found) -> Html | None:
    if not found["optimal_amount"]:
        return None
    unit = found["units"]["amount"]
    rows = [
        [number(one["interval"]), number(one["infusion"]), number(one["amount"])]
        for one in found["optimal_amount"]
    ]
    words = (
        "The amount of least expected distance from the best value of the target, for each "
        "interval and infusion; not rounded to what can be given."
    )
    shown = table(["every [h]", "infusion [h]", f"amount [{unit}]"], rows)
    return section("Best amounts before rounding", element("p", words, class_="note"), shown)


def _waiting(found: Found) -> Html | None:
    if found["recommended"] is None:
        return None
    hold, sample = found["hold_until"], found["next_sample"]
    start = number(found["inputs"]["start [h]"])
    lines = [f"Nothing speaks for waiting beyond {start} h."]
    if hold is not None:
        lines = [
            f"Hold until {number(hold)} h: before, the concentration is more likely than not "
            f"above what the target allows. The figures are of doses from {start} h on."
        ]
    if sample is not None:
        lines.append(
            f"The next level tells most at {number(sample['time'])} h: it is expected to narrow "
            f"the SD of the log exposure from {sample['sd_now']:.2f} to {sample['sd_then']:.2f}."
        )
    return section("When to wait, when to sample", items(lines))


def _figure(figure: Any, name: str, title: str, words: list[str]) -> Html:
    drawn = element("div", Html(svg_text(figure, name)), role="img", aria_label=title)
    return element("figure", drawn, element("figcaption", f"{title}. {' '.join(words)}"))
