"""Known errors of the published tables of nanoparticles, and what stands there instead.

Of 378 rows 16 break a rule that the others keep: a word in the wrong column, a lost decimal point,
a volume that is not weight over weight, a charge against its zeta potential, or values of two rows
of one study that were exchanged. Of 378 courses 64 stand under another ID of their study, and three
hold amounts that are not concentration times tumor weight. A rule knows what it mends by its
values, never by the ID alone.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float


@dataclass(frozen=True)
class Repair:
    """A known error of the published table.

    Attributes:
        name: Of the rule.
        row: ID of the row.
        found: What identifies the error, as written, by column.
        mended: What stands there instead.
        reason: Why it is an error.
    """

    name: str
    row: str
    found: Mapping[str, str]
    mended: Mapping[str, str]
    reason: str


@dataclass(frozen=True)
class Misplaced:
    """Courses of one study that stand under each other's IDs.

    Attributes:
        name: Of the rule.
        owners: Whose each course is, and its mark, by the ID it stands under.
        reason: Why it is an error.
    """

    name: str
    owners: Mapping[str, tuple[str, str]]
    reason: str


@dataclass(frozen=True)
class Amended:
    """A course whose amounts are wrong while its concentrations are right.

    Attributes:
        name: Of the rule.
        row: ID of the course.
        mark: Of the course as published.
        tumor: What stands there instead, in the order of time [%ID].
        reason: Why it is an error.
    """

    name: str
    row: str
    mark: str
    tumor: tuple[float, ...]
    reason: str


def _swapped(
    name: str, rows: tuple[str, str], values: Mapping[str, tuple[str, str]], why: str
) -> Iterator[Repair]:
    """Two rules that exchange the values of two rows."""
    for k in (0, 1):
        found = {column: pair[k] for column, pair in values.items()}
        mended = {column: pair[1 - k] for column, pair in values.items()}
        yield Repair(name, rows[k], found, mended, why)


_WORD = "TS held the sign of the charge, which the column Charge has already"
_MODEL = "exchanged, the fitted parameters give each row its own delivery"
_PEAKS = "the fitted parameters give the other row's DEmax, and that of 39 was less than its DE24"
REPAIRS: tuple[Repair, ...] = (
    Repair("targeting-word", "206", {"TS": "negtive"}, {"TS": "Passive"}, _WORD),
    Repair("targeting-word", "207", {"TS": "positive"}, {"TS": "Passive"}, _WORD),
    Repair("zeta-decimal", "332", {"ZETA": "274.2"}, {"ZETA": "27.2"}, "no particle has 274 mV"),
    Repair(
        "tumor-volume-decimal", "29", {"VTC": "0.14", "TW": "0.35", "BW": "25.0"},
        {"VTC": "0.014"}, "VTC is TW over BW",
    ),
    Repair(
        "tumor-volume", "91", {"VTC": "0.00225", "TW": "1.32", "BW": "31.0"},
        {"VTC": "0.04258"}, "VTC is TW over BW",
    ),
    Repair("charge-sign", "19", {"CHARGE": "2.0", "ZETA": "24.6"}, {"CHARGE": "1"},
           "its signed zeta potential is +24.6 mV"),
    Repair("maximum-swapped", "38", {"DEMAX": "10.28", "DE24": "1.5"}, {"DEMAX": "1.69"}, _PEAKS),
    Repair("maximum-swapped", "39", {"DEMAX": "1.69", "DE24": "9.48"}, {"DEMAX": "10.28"}, _PEAKS),
    Repair("delivery-decimal", "306", {"DE168": "0.1", "DE24": "3.75"}, {"DE168": "1.0"},
           "the first day alone makes a mean of 0.54 over the week; its parameters give 1.00"),
    *_swapped("parameters-swapped", ("19", "20"),
              {"KTRESMAX": ("0.2", "0.15"), "KTRESRELEASE": ("0.041", "0.048"),
               "PT": ("0.041", "0.045")}, _MODEL),
    *_swapped("parameters-swapped", ("31", "33"),
              {"PT": ("0.016", "0.0011"), "PATC": ("0.02", "0.003")}, _MODEL),
    *_swapped("parameters-swapped", ("165", "166"),
              {"KTRESMAX": ("0.5", "0.55"), "KTRES50": ("66", "60"), "KTRESN": ("4.5", "4"),
               "KTRESRELEASE": ("0.05", "0.09"), "PT": ("0.069", "0.138"),
               "PATC": ("0.009", "0.0053")}, _MODEL),
    *_swapped("parameters-swapped", ("296", "297"),
              {"KTRESMAX": ("0.4", "0.65"), "KTRESN": ("0.4", "0.6"),
               "KTRESRELEASE": ("0.075", "0.087"), "PT": ("0.09", "0.0745")}, _MODEL),
)  # fmt: skip

_OWNERS: tuple[Mapping[str, tuple[str, str]], ...] = (
    {"6": ("11", "5ca9d5b0914d"), "7": ("12", "97e6e049df23"), "8": ("13", "76baf402da26"),
     "9": ("10", "981648b6e34c"), "10": ("9", "250158630962"), "11": ("8", "ef916ce5ead2"),
     "12": ("7", "c9e91732dc24"), "13": ("6", "6fb958f2b3c7")},
    {"16": ("17", "6717ab9335c4"), "17": ("16", "6eabb4882b67")},
    {"18": ("21", "7c1f9f45fbb3"), "19": ("20", "c8699949e144"), "20": ("19", "ddc199a78807"),
     "21": ("18", "5b137a3d95a3")},
    {"23": ("26", "dbe24f0507de"), "24": ("25", "8dbee36440c1"), "25": ("24", "ecc71cc804c2"),
     "26": ("23", "4773553bc7ff")},
    {"29": ("30", "f458ddc1e1ea"), "30": ("29", "70aa2907414a")},
    {"31": ("34", "4304482a60e2"), "34": ("31", "b9227e2def5f")},
    {"36": ("37", "671c84b5e3ce"), "37": ("36", "49c0da885e29")},
    {"38": ("39", "1fe159c55080"), "39": ("38", "3784c75f014a")},
    {"40": ("42", "9ff154fed79e"), "41": ("44", "054ffd77114e"), "42": ("41", "fb76dc8a5b01"),
     "44": ("40", "7c792452f673")},
    {"45": ("48", "29b681d2f3a4"), "46": ("47", "65996923b3bd"), "47": ("46", "ba5050cc07d6"),
     "48": ("45", "e2b86159d493")},
    {"50": ("55", "fa8738ceabe6"), "51": ("54", "e5598ced4592"), "52": ("53", "2eb370711dee"),
     "53": ("52", "1c3c3c9478bd"), "54": ("51", "059ba02633ff"), "55": ("50", "f6328839ac44")},
    {"56": ("61", "a28e5ac05eb9"), "57": ("60", "54f105ed5842"), "58": ("59", "9ffe5b33e744"),
     "59": ("58", "ab25fc91de07"), "60": ("57", "aa876196b82b"), "61": ("56", "c5a0b85cf3a0")},
    {"70": ("71", "7993e3124229"), "71": ("70", "0cff95097e18")},
    {"74": ("77", "bdd73238be3c"), "75": ("76", "73f94d1bf224"), "76": ("75", "768a34d00c75"),
     "77": ("74", "5fc337e1172a")},
    {"78": ("79", "e290a4918d95"), "79": ("78", "bb8dc1db431b")},
    {"83": ("84", "a4ee412f552a"), "84": ("83", "42f89443ac02")},
    {"89": ("90", "191e229f0e81"), "90": ("89", "e8349d0ca3db")},
    {"98": ("99", "eb00a8ab6bdb"), "99": ("98", "c094e861194d")},
    {"151": ("152", "972ba91aacfb"), "152": ("151", "65f971d0dbad")},
    {"167": ("168", "29b64f101fad"), "168": ("167", "cdcc311d6dc1")},
)  # fmt: skip
MISPLACED = tuple(
    Misplaced("course-misplaced", owners, "so each agrees with the delivery of its row")
    for owners in _OWNERS
)
_WEIGHT = "so it is concentration times tumor weight"
AMENDED = (
    Amended("amount-of-concentration", "27", "6697d8e13de0",
               (1.73027211, 1.81530612, 1.00748299, 0.82678571),
               "the later ones were tumor weight times time"),
    Amended("amount-of-concentration", "163", "55d3d74e0390",
               (0.4968, 0.7344, 0.8856, 0.324), _WEIGHT),
    Amended("amount-of-concentration", "164", "32658fedccd8",
               (2.214, 3.2832, 4.2336, 2.5272), _WEIGHT),
)  # fmt: skip


def course_mark(time: Float[np.ndarray, " time"], tumor: Float[np.ndarray, " time"]) -> str:
    """What a rule knows a course by: 12 digits of SHA-256 over its values in the order of time.

    Args:
        time: Time after the dose [h].
        tumor: In the tumor [%ID].

    Returns:
        Hexadecimal digits.

    Example:
        >>> course_mark(np.array([24.0, 6.0]), np.array([2.5, 1.0]))
        'e6101c82ae32'
    """
    pairs = sorted(zip(time.tolist(), tumor.tolist(), strict=True))
    return hashlib.sha256(",".join(f"{t!r} {y!r}" for t, y in pairs).encode()).hexdigest()[:12]


def mend_courses(
    ids: pl.Series, time: Float[np.ndarray, " cell"], tumor: Float[np.ndarray, " cell"]
) -> tuple[pl.Series, Float[np.ndarray, " cell"], list[str]]:
    """Put courses under the particle they were measured of, and their amounts right.

    A study is mended only where each of its courses that is there holds the published values, so
    that no two courses come under one ID and a mended table stays as it is.

    Args:
        ids: Of each measurement, as written.
        time: Time after the dose [h].
        tumor: In the tumor [%ID].

    Returns:
        IDs and amounts, mended, and what was done.
    """
    known = {one for rule in MISPLACED for one in rule.owners} | {rule.row for rule in AMENDED}
    rows: dict[str, list[int]] = {}
    for row, one in enumerate(ids):
        if one in known:
            rows.setdefault(one, []).append(row)
    marks = {one: course_mark(time[of], tumor[of]) for one, of in rows.items()}
    owner, tumor, notices = ids.to_list(), tumor.copy(), []
    for rule in MISPLACED:
        here = {one: whose for one, whose in rule.owners.items() if one in rows}
        if here and all(marks[one] == mark for one, (_, mark) in here.items()):
            for one, (whose, _) in here.items():
                for row in rows[one]:
                    owner[row] = whose
            moves = ", ".join(f"{one} is of {whose}" for one, (whose, _) in here.items())
            notices.append(f"Repaired ({rule.name}): what stood under ID {moves}; {rule.reason}.")
    for rule in AMENDED:
        if marks.get(rule.row) == rule.mark:
            of = np.array(rows[rule.row])
            tumor[of[np.argsort(time[of])]] = rule.tumor
            what = ", ".join(f"{value:g}" for value in rule.tumor)
            notices.append(f"Repaired ({rule.name}), ID {rule.row}: TUMOR {what}; {rule.reason}.")
    return pl.Series(ids.name, owner, pl.String), tumor, notices
