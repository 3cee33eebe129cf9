"""The reference scenarios as doses, queries and expected figures."""

import csv
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.kinetics.doses import NUMBERS, Doses
from latentpk.kinetics.structure import Structure

TABLES = Path(__file__).parents[1] / "reference"
ROWS, QUERIES = 8, 20  # every scenario is padded to these
WIDEST = Structure.parse("3c-oral-lag-f")
EMPTY = {"q2": 0.0, "q3": 0.0, "ka": 1.0, "alag": 0.0}


@dataclass(frozen=True)
class Scenario:
    """One scenario; `count` of its queries are real, the rest repeat the last.

    `widest` are its parameters in the largest structure, with Q = 0 for absent compartments: one
    compiled program serves all scenarios, and Q = 0 is tested on the way.
    """

    name: str
    structure: Structure
    parameters: jnp.ndarray
    widest: jnp.ndarray
    doses: Doses
    time: jnp.ndarray
    count: int
    expected: dict[str, np.ndarray]


def table(name):
    with (TABLES / name).open() as file:
        return list(csv.DictReader(file))


def doses_of(events):
    """NONMEM semantics of the table's events: ADDL, SS, resets."""
    rows, resets = [], []
    for place, event in enumerate(events):
        time, amount, rate, interval = (float(event[k]) for k in ("TIME", "AMT", "RATE", "II"))
        steady = float(event["SS"])
        constant = steady == 1 and amount == 0
        if event["EVID"] in "34" or steady == 1:
            resets.append((time, place))
        if event["EVID"] == "3":
            continue
        row = {
            "order": place,
            "amount": amount,
            "rate": rate if constant else 0.0,
            "duration": amount / rate if rate > 0 and not constant else 0.0,
            "depot": float(event["CMT"] == "1"),
            "interval": interval,
            "record": (time, place),
        }
        for k in range(int(event["ADDL"]) + 1):
            state = (3.0 if constant else steady) if k == 0 else 0.0
            rows.append({**row, "time": time + k * interval, "steady": state})
    for row in rows:
        later = [reset for reset in resets if reset > row["record"]]
        row["until"], row["until_order"] = min(later, default=(np.inf, 0.0))
    return Doses.of(
        [row["time"] for row in rows],
        **{name: [row[name] for row in rows] for name in NUMBERS if name != "time"},
    )


def padded(doses):
    return jax.tree.map(lambda field: jnp.pad(field, (0, ROWS - field.size)), doses)


@pytest.fixture(scope="session")
def scenarios():
    events, rows = table("structural_events.csv"), table("structural.csv")
    found = {}
    for row in table("structural_scenarios.csv"):
        key, oral = row["SCENARIO"], float(row["KA"]) > 0
        structure = Structure(int(row["NCMT"]), oral, oral, oral)
        lines = [line for line in rows if line["SCENARIO"] == key]
        time = np.array([float(line["TIME"]) for line in lines])
        found[int(key)] = Scenario(
            name=row["NAME"],
            structure=structure,
            parameters=jnp.array([float(row[name.upper()]) for name in structure.names]),
            widest=jnp.array([float(row[name.upper()]) or EMPTY[name] for name in WIDEST.names]),
            doses=doses_of([event for event in events if event["SCENARIO"] == key]),
            time=jnp.array(np.pad(time, (0, QUERIES - time.size), mode="edge")),
            count=time.size,
            expected={
                column: np.array([float(line[column]) for line in lines])
                for column in ("CONC", "CONC_BEFORE", "A_DEPOT", "A_PERIPH1", "A_PERIPH2")
            },
        )
    return found


@pytest.fixture(scope="session")
def pad():
    return padded


@pytest.fixture(scope="session")
def widest():
    return WIDEST
