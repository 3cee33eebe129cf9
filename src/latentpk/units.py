"""Units at the door: what a file's columns are in, and the factors to h, mg, mg/L, kg, cm, y."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from latentpk.errors import InputError, Problem

Table = Mapping[str, float]

TIME: Table = {"h": 1.0, "s": 1 / 3600, "min": 1 / 60, "d": 24.0, "wk": 168.0}
MASS: Table = {"mg": 1.0, "kg": 1e6, "g": 1e3, "ug": 1e-3, "ng": 1e-6, "pg": 1e-9}
MOLE: Table = {"mmol": 1.0, "mol": 1e3, "umol": 1e-3, "nmol": 1e-6, "pmol": 1e-9}
VOLUME: Table = {"L": 1.0, "dL": 0.1, "mL": 1e-3, "uL": 1e-6}
MOLAR: Table = {"mM": 1.0, "M": 1e3, "uM": 1e-3, "nM": 1e-6, "pM": 1e-9}
WEIGHT: Table = {"kg": 1.0, "g": 1e-3, "lb": 0.45359237}
LENGTH: Table = {"cm": 1.0, "m": 100.0, "mm": 0.1, "in": 2.54}
AGE: Table = {"y": 1.0, "mo": 1 / 12, "wk": 7 / 365.25, "d": 1 / 365.25}
GESTATION: Table = {"wk": 1.0, "d": 1 / 7, "mo": 365.25 / 84, "y": 365.25 / 7}
# 1 mg/dL of creatinine (113.12 g/mol) is 88.4 umol/L
CREATININE: Table = {"mg/dL": 1.0, "umol/L": 1 / 88.4, "mmol/L": 1e3 / 88.4, "mg/L": 0.1}
CLEARANCE: Table = {
    "mL/min": 1.0, "L/h": 1e3 / 60, "mL/s": 60.0, "L/min": 1e3, "mL/h": 1 / 60,
    "mL/min/1.73m2": 1.0,
}  # fmt: skip
AREA: Table = {"m2": 1.0, "cm2": 1e-4}
BODY_MASS_INDEX: Table = {"kg/m2": 1.0}
ALBUMIN: Table = {"g/dL": 1.0, "g/L": 0.1, "mg/dL": 1e-3}
PERCENT: Table = {"%": 1.0, "fraction": 100.0}

_SPELLINGS = {
    "hr": "h", "hrs": "h", "hour": "h", "hours": "h", "minute": "min", "minutes": "min",
    "sec": "s", "day": "d", "days": "d", "week": "wk", "weeks": "wk", "w": "wk",
    "month": "mo", "months": "mo", "year": "y", "years": "y", "yr": "y", "a": "y",
    "lbs": "lb", "inch": "in", "percent": "%",
}  # fmt: skip
_DATES = ("Y-M-D", "M/D/Y", "D/M/Y")
_KNOWN = frozenset(
    {*TIME, *MASS, *MOLE, *VOLUME, *MOLAR, *WEIGHT, *LENGTH, *AGE, *AREA, *PERCENT, "1.73m2"}
)
# without m and M, whose case is their meaning
_CASELESS = {unit.lower(): unit for unit in sorted(_KNOWN - set(MOLAR) - {"m"})}


@dataclass(frozen=True)
class Physical:
    """A covariate whose name tells what it measures.

    Attributes:
        table: Its units and their factors; the first has factor 1 and is the internal one.
        low: Lower end of the physiological range, internal unit.
        high: Upper end of the physiological range, internal unit.
        zero: Whether 0 is a value it can take.
    """

    table: Table
    low: float
    high: float
    zero: bool = False

    @property
    def unit(self) -> str:
        """The internal unit."""
        return next(iter(self.table))


_WEIGHT, _CREATININE = Physical(WEIGHT, 0.4, 300), Physical(CREATININE, 0.1, 15)
_RENAL, _AGE = Physical(CLEARANCE, 2, 250, zero=True), Physical(AGE, 0, 110, zero=True)

_ITEMS = ("TIME", "DUR", "II", "AMT", "RATE", "DV", "LLOQ")

PHYSICAL: Mapping[str, Physical] = {
    "WT": _WEIGHT, "WEIGHT": _WEIGHT, "BW": _WEIGHT, "IBW": _WEIGHT, "ABW": _WEIGHT,
    "LBM": _WEIGHT, "FFM": _WEIGHT, "LBW": _WEIGHT,
    "HT": Physical(LENGTH, 30, 220), "HEIGHT": Physical(LENGTH, 30, 220),
    "AGE": _AGE, "PNA": _AGE,
    "PMA": Physical(GESTATION, 22, 6000), "GA": Physical(GESTATION, 22, 44),
    "SCR": _CREATININE, "CREAT": _CREATININE, "CREA": _CREATININE, "SECR": _CREATININE,
    "CRCL": _RENAL, "CLCR": _RENAL, "EGFR": _RENAL, "GFR": _RENAL,
    "BSA": Physical(AREA, 0.1, 3), "BMI": Physical(BODY_MASS_INDEX, 8, 80),
    "ALB": Physical(ALBUMIN, 1, 6), "HCT": Physical(PERCENT, 10, 70),
}  # fmt: skip


@dataclass(frozen=True)
class Units:
    """The units of a file's columns; what is not declared is taken as the internal unit.

    Attributes:
        declared: Unit by column as given, such as {"AMT": "ug", "DV": "ng/mL"}; "DATE" holds the
            order of a date's parts.
        molar_mass: Molar mass [g/mol], needed where amounts or concentrations are in moles.

    Example:
        >>> parse_units("TIME=min,DV=ng/mL").factor("DV")
        0.001
    """

    declared: Mapping[str, str] = field(default_factory=dict)
    molar_mass: float | None = None

    def unit(self, column: str) -> str:
        """Unit of a column in the file, "" where it has none."""
        return self.declared.get(column) or self._derived(column)

    def factor(self, column: str) -> float:
        """What a file's number is multiplied by to give the internal unit (1 where unknown)."""
        return self._factors.get(column, _factor(column, self.unit(column), self.molar_mass) or 1.0)

    @property
    def date(self) -> str:
        """Order of a date's parts: "Y-M-D", "M/D/Y" or "D/M/Y"."""
        return self.declared.get("DATE", _DATES[0])

    def describe(self, covariates: tuple[str, ...] = ()) -> str:
        """The units as one `--units` text, defaults included, which `parse_units` reads back."""
        columns = ["TIME", "AMT", "DV", *(c for c in covariates if c in PHYSICAL)]
        columns += [c for c in self.declared if c not in columns]
        parts = [f"{column}={self.unit(column)}" for column in columns]
        if self.molar_mass is not None:
            parts.append(f"MOLAR_MASS={self.molar_mass!r}")
        return ",".join(parts)

    def to_dict(self) -> dict[str, object]:
        """As JSON: {"declared": {...}, "molar_mass": number or null}."""
        return {"declared": dict(self.declared), "molar_mass": self.molar_mass}

    @staticmethod
    def from_dict(data: Mapping[str, object]) -> "Units":
        """The inverse of `to_dict`; raises InputError on a unit that is not known."""
        declared, molar_mass = data.get("declared", {}), data.get("molar_mass")
        if not isinstance(declared, Mapping):
            raise InputError("the stored units hold no mapping called 'declared'")
        entries = {str(key): str(value) for key, value in declared.items()}
        if molar_mass is not None:
            entries["MOLAR_MASS"] = repr(molar_mass)
        return _units(entries, [])

    def _derived(self, column: str) -> str:
        time, amount = self.declared.get("TIME", "h"), self.declared.get("AMT", "mg")
        fixed = {"TIME": time, "DUR": time, "II": time, "AMT": amount, "RATE": f"{amount}/{time}"}
        fixed["DV"] = fixed["LLOQ"] = self.declared.get("DV", "mg/L")
        if column in fixed:
            return fixed[column]
        return PHYSICAL[column].unit if column in PHYSICAL else ""

    @cached_property
    def _factors(self) -> dict[str, float]:
        columns = (*_ITEMS, *self.declared)
        found = {c: _factor(c, self.unit(c), self.molar_mass) for c in columns}
        return {column: value for column, value in found.items() if value is not None}


def parse_units(text: str | Units | None) -> Units:
    """Read a text such as "TIME=h,AMT=mg,DV=mg/L,WT=kg,SCR=umol/L,MOLAR_MASS=1449.3".

    Args:
        text: The text, units already read, or None for the internal units.

    Returns:
        The units, each checked against what its column can be.

    Raises:
        InputError: An entry without "=", an unknown unit, moles without a molar mass.

    Example:
        >>> parse_units("AMT=ug,WT=lb").describe()
        'TIME=h,AMT=ug,DV=mg/L,WT=lb'
    """
    if isinstance(text, Units):
        return text
    entries: dict[str, str] = {}
    problems: list[Problem] = []
    for part in filter(None, (p.strip() for p in (text or "").split(","))):
        name, equals, unit = part.partition("=")
        name = name.strip().upper()
        if not (equals and name and unit.strip()):
            problems.append(_problem(part, "it is not COLUMN=unit", "Write it as DV=mg/L"))
        elif name in entries:
            problems.append(_problem(part, f"{name} is given twice", "Keep one of the two"))
        else:
            entries[name] = unit.strip()
    return _units(entries, problems)


def undeclarable(units: Units, columns: tuple[str, ...]) -> list[Problem]:
    """Declared units of what is neither a column of the file nor known without one: misspelled.

    Args:
        units: As declared.
        columns: Of the file.
    """
    known = {*_ITEMS, "DATE", *PHYSICAL, *columns}
    return [
        _problem(column, "the file has no such column", f"Name one of {', '.join(columns)}")
        for column in units.declared
        if column not in known
    ]


def _units(entries: dict[str, str], problems: list[Problem]) -> Units:
    mass = entries.pop("MOLAR_MASS", None)
    molar_mass = _positive(mass) if mass is not None else None
    if mass is not None and molar_mass is None:
        problems.append(_problem("MOLAR_MASS", f"'{mass}' is no mass", "Give it in g/mol, above 0"))
    declared = {column: _canonical(column, unit) for column, unit in entries.items()}
    for column, unit in declared.items():
        problems += _check(column, unit, molar_mass)
    if problems:
        raise InputError(problems, source="the units")
    return Units(declared, molar_mass)


def _check(column: str, unit: str, molar_mass: float | None) -> list[Problem]:
    if column == "DATE":
        good = unit in _DATES
    elif column in PHYSICAL or column in _ITEMS:
        good = _factor(column, unit, molar_mass if molar_mass is not None else 1.0) is not None
    else:
        return []  # an unknown covariate's unit is a label
    if not good:
        return [_problem(column, f"'{unit}' is not a known unit of it", f"Use {_choices(column)}")]
    if _factor(column, unit, molar_mass) is None and column != "DATE":
        return [_problem(column, f"'{unit}' counts moles", "Add MOLAR_MASS=<g/mol>")]
    return []


def _problem(where: str, found: str, mend: str) -> Problem:
    rule = "Units are COLUMN=unit pairs between commas, each unit one that its column can have"
    return Problem(f"units, {where}", found, rule, mend)


def _choices(column: str) -> str:
    if column == "DATE":
        return ", ".join(_DATES)
    if column in PHYSICAL:
        return ", ".join(PHYSICAL[column].table)
    return {
        "AMT": f"one of {', '.join((*MASS, *MOLE))}",
        "DV": f"one of {', '.join((*MASS, *MOLE))} per {', '.join(VOLUME)}, or {', '.join(MOLAR)}",
        "LLOQ": "a mass or moles per volume, such as ng/mL",
        "RATE": "an amount per time, such as mg/h",
    }.get(column, f"one of {', '.join(TIME)}")


def _factor(column: str, unit: str, molar_mass: float | None) -> float | None:
    """Factor of a unit to the column's internal unit, None where the unit is not the column's."""
    if column in PHYSICAL:
        return PHYSICAL[column].table.get(unit)
    if column in ("TIME", "DUR", "II"):
        return TIME.get(unit)
    if column == "AMT":
        return _amount(unit, molar_mass)
    if column in ("DV", "LLOQ") and unit in MOLAR:
        return MOLAR[unit] * molar_mass if molar_mass is not None else None
    if column in ("DV", "LLOQ", "RATE"):
        top, _, bottom = unit.partition("/")
        over, under = _amount(top, molar_mass), (TIME if column == "RATE" else VOLUME).get(bottom)
        return over / under if over is not None and under is not None else None
    return None


def _amount(unit: str, molar_mass: float | None) -> float | None:
    if unit in MOLE:
        return MOLE[unit] * molar_mass if molar_mass is not None else None
    return MASS.get(unit)


def _canonical(column: str, unit: str) -> str:
    """One spelling per unit: micro as u, hours as h, the case repaired where it is clear."""
    if column == "DATE":
        text = unit.upper().replace("ISO", "Y-M-D").replace("YYYY", "Y")
        return text.replace("MM", "M").replace("DD", "D")
    text = unit.replace(" ", "").replace("^2", "2").replace("mcg", "ug")
    for micro in ("\u00b5", "\u03bc"):
        text = text.replace(micro, "u")
    return "/".join(_part(part) for part in text.split("/"))


def _part(text: str) -> str:
    if text in _KNOWN:
        return text
    lower = _SPELLINGS.get(text.lower(), text.lower())
    return _CASELESS.get(lower, text)


def _positive(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None
