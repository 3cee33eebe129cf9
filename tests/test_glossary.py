"""The glossary and the code use the same words."""

import itertools
import re
from pathlib import Path

import pytest

from latentpk.kinetics.structure import Structure
from latentpk.kinetics.systems import parse_system
from latentpk.models.parameters import UNITS
from latentpk.records.table import RESERVED

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (?P<name>[^|]+) \| [^|]+ \|(?P<unit>[^|]*)\| `(?P<code>\w+)` \|$", re.M)
ROWS = [(m["name"].strip(), m["unit"].strip(), m["code"]) for m in ROW.finditer(PAGE)]
SOURCE = "\n".join(
    path.read_text(encoding="utf-8") for path in sorted((ROOT / "src").rglob("*.py"))
)


def test_every_row_of_every_table_is_read():
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")]
    heads = sum(line.endswith("| Code |") for line in lines)
    assert len(ROWS) == len(lines) - heads
    assert len(ROWS) > 50


@pytest.mark.parametrize("code", sorted({code for _, _, code in ROWS}))
def test_every_code_name_is_in_the_code(code):
    assert re.search(rf"\b{code}\b", SOURCE), code


@pytest.mark.parametrize("column", sorted(RESERVED))
def test_every_column_of_a_file_is_explained(column):
    assert column in {name for name, _, _ in ROWS}


def test_every_parameter_is_explained_with_its_unit():
    units = {code: unit for _, unit, code in ROWS}
    linear = (Structure.parse(text) for text in ("3c-oral-lag-f", "1c-iv", "2c-oral"))
    systems = (
        *(
            "2c-mm-cl-inh-oral-lag-f",
            "tmdd",
            "tmdd-equilibrium",
            "tmdd-qss-iv",
            "ehc",
            "ehc-meals4",
            "ehc-binding",
        ),
        *("transit3", "2c-transit-ka-f", "dual-absorption"),
    )
    every = (*linear, *map(parse_system, systems))
    for name in itertools.chain.from_iterable(one.names for one in every):
        unit = UNITS[name]
        assert units[name] == ("1" if unit.startswith("(") else unit)


def test_every_column_of_a_forecast_is_explained(fitted, patients, forecast):
    explained = {name for name, _, _ in ROWS}
    for column in forecast(patients).columns:
        assert column in explained, column
