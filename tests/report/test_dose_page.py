"""The page on a dose: plain values in, one file of HTML out."""

import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from latentpk.report.dose_figures import record_figure
from latentpk.report.dose_page import dose_page
from latentpk.workflows.dose_curves import Band, DoseCurves, Explained, Given

EVIL = "<script>alert('x')</script>"
VOID = {"meta", "br"}


class Page(HTMLParser):
    """Elements, whether they close, their attributes, and the text outside of style."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text += data + " "


def page_of(found, curves):
    page = Page(dose_page(found, curves))
    assert page.open == []
    return page


def band(start, end):
    time = np.linspace(start, end, 30)
    middle = 12 + 5 * np.cos(time)
    return Band(time, middle, 0.6 * middle, 1.5 * middle)


def alternative(amount, interval, loading=None):
    spread = {"median": 500.0, "lo": 310.0, "hi": 760.0}
    return {
        "amount": amount,
        "interval": interval,
        "infusion": 1.0,
        "loading": loading,
        "probability": 0.5,
        "probability_toxic": 0.25,
        "expected_loss": 70.0,
        "exposure": spread,
        "first_24h": spread,
    }


@pytest.fixture
def curves():
    one = np.ones(2)
    shown = band(48, 96)
    return DoseCurves(
        id="7",
        unit="ng/mL",
        start=48.0,
        fitted=band(0, 48),
        population=np.full(30, 11.0),
        levels=Explained(
            np.array([10.0, 40.0]), 9 * one, np.array([False, True]), *([8 * one] * 5), 0.4 * one
        ),
        given=Given(np.array([0.0, 12, 24, 30]), np.array([1000.0, 1000, 1000, 500]), np.ones(4)),
        recommended=shown,
        planned=Given(np.array([48.0, 72]), np.full(2, 1500.0), np.zeros(2)),
        alternatives=((0, shown), (1, shown), (3, shown)),
        target=(10.0, 15.0),
    )


@pytest.fixture
def found():
    target = {
        "metric": "trough",
        "low": 10.0,
        "high": 15.0,
        "toxic": None,
        "citation": "someone 2020",
        "says": "trough 10 to 15 ng/mL",
        "measured": "lowest concentration, one dosing interval at steady state",
    }
    return {
        "verdict": "caution",
        "reasons": ["CRCL is 9.", "Few effective draws."],
        "gates": [
            {"gate": "A computation", "verdict": "caution", "value": None, "threshold": 0.7,
             "sentence": "Few effective draws."},
            {"gate": "B domain", "verdict": "caution", "value": 1.0, "threshold": 0.0,
             "sentence": "CRCL is 9."},
            {"gate": "C fit", "verdict": "ok", "value": 0.5, "threshold": 0.01,
             "sentence": "Nothing to say against it."},
        ],
        "inputs": {
            "target": target,
            "at": "ss",
            "start [h]": 48.0,
            "amounts [mg]": [float(v) for v in range(1, 30)],
            "most daily [mg]": None,
            "loading": True,
            "covariates": {"CRCL [mL/min]": 9.0},
            "reading": ["Units: TIME=h."],
            "defaults": ["infusions of 1 h (--infusion)"],
        },
        "model": {"name": "a-model", "citation": "Author 2018", "sha256": "ab" * 32},
        "posterior": {
            "method": "is",
            "effective draws": 4000.0,
            "pareto k": None,
            "parameters": {
                "cl": {"typical": 3.5, "map": 3.6, "median": 3.4, "lo": 2.1, "hi": 4.8,
                       "unit": "L/h"},
            },
        },
        "units": {"amount": "mg", "time": "h", "exposure": "ng/mL"},
        "level": 0.9,
        "alternatives": [alternative(1000.0 + i, 12.0, 2000.0 if i == 2 else None)
                         for i in range(14)],
        "recommended": 0,
        "optimal_amount": [{"interval": 12.0, "infusion": 1.0, "amount": 1071.3}],
        "hold_until": 52.5,
        "next_sample": {"time": 60.0, "sd_now": 0.3, "sd_then": 0.2},
    }  # fmt: skip


def refused(found, curves):
    nothing = Given(*[np.zeros(0)] * 3)
    found |= {
        "verdict": "refuse",
        "alternatives": [],
        "recommended": None,
        "optimal_amount": [],
        "hold_until": None,
        "next_sample": None,
    }
    return found, dataclasses.replace(curves, recommended=None, alternatives=(), planned=nothing)


def test_everything_it_rests_on_is_said(found, curves):
    text = page_of(found, curves).text
    for said in (
        *found["reasons"],
        *found["inputs"]["defaults"],
        *found["inputs"]["reading"],
        *(gate["sentence"] for gate in found["gates"]),
        *found["model"].values(),
        "Dose for patient 7",
        "1000 mg over 1 h every 12 h, from 48 h on: 50 % probability of trough 10 to 15 ng/mL",
        "25 % of more than 15 ng/mL",
        "Hold until 52.5 h",
        "tells most at 60 h",
        "from 0.30 to 0.20",
        "1071",
        "cl (clearance)",
        "1 to 29, 29 values",
        "CRCL [mL/min]: 9",
        "1000 mg over 1 h at 0 h and every 12 h until 24 h (3 doses); 500 mg over 1 h at 30 h",
        "below 9",
        "+0.40",
        "evidence to be judged, not advice",
        "clinical validation",
    ):
        assert said in text


def test_the_ten_best_are_listed_and_the_rest_counted(found, curves):
    text = dose_page(found, curves)
    listed = re.findall(r"<tr[^>]*><td>(\d+)</td><td>(1\d{3})</td>", text)
    assert listed == [(str(i + 1), str(1000 + i)) for i in range(10)]
    assert "The 10 best of 14; the JSON file holds 4 more." in text
    assert text.count('class="chosen"') == 1
    assert "<td>2000</td>" in text  # the loading dose of the third


def test_the_page_needs_nothing_else_and_runs_nothing(found, curves):
    text = dose_page(found, curves)
    page = page_of(found, curves)
    assert not {"script", "link", "img", "iframe", "object", "image"} & set(page.tags)
    assert page.tags.count("svg") == 2
    for _, name, value in page.attributes:
        assert not name.startswith("on")
        assert name != "src"
        if name.endswith("href"):
            assert value.startswith("#")
    assert "@import" not in text
    assert not re.findall(r"url\((?!#)", text)


def test_ids_are_unique_and_found(found, curves):
    page = page_of(found, curves)
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    used = {v[1:] for _, name, v in page.attributes if name.endswith("href")}
    used |= set(re.findall(r"url\(#([^)]+)\)", dose_page(found, curves)))
    assert used
    assert used <= set(ids)


def test_text_of_the_data_is_harmless(found, curves):
    found["reasons"] = [EVIL]
    found["inputs"] |= {"defaults": [EVIL], "reading": [EVIL], "covariates": {EVIL: EVIL}}
    found["inputs"]["target"] |= {"says": EVIL, "citation": EVIL}
    found["model"] = {EVIL: EVIL}
    found["gates"][0] |= {"gate": EVIL, "sentence": EVIL}
    found["units"] = dict.fromkeys(found["units"], EVIL)
    shown = dataclasses.replace(curves, id=EVIL, unit=EVIL)
    page = page_of(found, shown)
    assert "script" not in page.tags
    assert f"Dose for patient {EVIL}" in page.text


def test_a_formula_sign_in_a_unit_is_only_text(found, curves):
    assert "concentration [a$b$]" in page_of(found, dataclasses.replace(curves, unit="a$b$")).text


def test_a_refusal_has_reasons_and_the_fit_and_no_dose(found, curves):
    page = page_of(*refused(found, curves))
    for reason in found["reasons"]:
        assert reason in page.text
    assert "No dose is recommended" in page.text
    assert "Alternatives" not in page.text
    assert "recommended regimen" not in page.text
    assert page.tags.count("svg") == 1


def test_nothing_finite_to_draw_or_to_fit(found, curves):
    found, bare = refused(found, curves)
    found["posterior"] = {"method": "is", "effective draws": 1.0, "pareto k": None}
    text = page_of(found, dataclasses.replace(bare, fitted=None, levels=None)).text
    assert "There is no curve to draw" in text
    assert "No finite posterior" in text
    assert "no parameters with names" in text


def test_no_level_and_no_dose_before(found, curves):
    nothing, none = Given(*[np.zeros(0)] * 3), np.zeros(0)
    levels = Explained(none, none, np.zeros(0, bool), *[none] * 6)
    bare = dataclasses.replace(curves, fitted=None, given=nothing, levels=levels)
    text = page_of(found, bare).text
    assert "No level was used" in text
    assert "fitted to this patient" not in text


def test_an_area_is_said_to_be_no_band(found, curves):
    assert "The target is an area" not in page_of(found, curves).text
    text = page_of(found, dataclasses.replace(curves, target=None)).text
    assert "The target is an area" in text
    assert "target range" not in text


@pytest.mark.parametrize(
    ("target", "label"),
    [
        ((10.0, 15.0), "target range"),
        ((1e5, 2e5), "target range"),
        ((10.0, None), "target: at least 10"),
        ((None, 15.0), "target: at most 15"),
    ],
)
def test_what_is_aimed_at_is_in_the_picture(curves, target, label):
    figure = record_figure(dataclasses.replace(curves, target=target), "mg")
    axes = figure.axes[0]
    assert label in axes.get_legend_handles_labels()[1]
    low, top = axes.get_ylim()
    assert low == 0
    assert min(end for end in target if end is not None) < top


def test_everything_measured_or_predicted_is_in_the_picture(curves):
    high = dataclasses.replace(curves, population=np.full(30, 400.0), target=None)
    assert record_figure(high, "mg").axes[0].get_ylim()[1] > 400
    levels = dataclasses.replace(curves.levels, observed=np.array([5.0, 700.0]))
    seen = dataclasses.replace(curves, levels=levels)
    assert record_figure(seen, "mg").axes[0].get_ylim()[1] > 700


def test_no_number_is_missing_or_endless(found, curves):
    text = page_of(found, curves).text
    assert not re.search(r"\b(nan|NaN|inf|Infinity|None|null)\b", text)
    assert "not known" in text  # the gate whose value is null
