"""Known errors of the published table of nanoparticles, and what stands there instead.

Of 378 rows 13 break a rule that the others keep: a word in the wrong column, a lost decimal point,
a volume that is not weight over weight, a charge against its zeta potential, or values of two rows
of one study that were exchanged, as the measured courses and the PBPK model show.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


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


def _swapped(
    name: str, rows: tuple[str, str], values: Mapping[str, tuple[str, str]], why: str
) -> Iterator[Repair]:
    """Two rules that exchange the values of two rows."""
    for k in (0, 1):
        found = {column: pair[k] for column, pair in values.items()}
        mended = {column: pair[1 - k] for column, pair in values.items()}
        yield Repair(name, rows[k], found, mended, why)


_WORD = "TS held the sign of the charge, which the column Charge has already"
_CURVES = "the measured courses show the other row's delivery"
_MODEL = "the measured course agrees with the delivery, the fitted parameters with the other row's"
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
    *_swapped("delivery-swapped", ("19", "20"),
              {"DE24": ("0.54", "0.57"), "DE168": ("0.22", "0.26"), "DEMAX": ("0.61", "0.69")},
              _CURVES),
    *_swapped("course-swapped", ("38", "39"),
              {"DE24": ("1.5", "9.48"), "DE168": ("0.47", "3.98"), "KTRESMAX": ("0.1", "0.01"),
               "KTRES50": ("96", "24"), "KTRESN": ("5", "0.1"), "KTRESRELEASE": ("0.1", "0.01"),
               "PT": ("0.016", "0.11"), "PATC": ("0.01", "0.025")},
              "the measured courses and DEmax belong to the other row's parameters and delivery"),
    *_swapped("parameters-swapped", ("165", "166"),
              {"KTRESMAX": ("0.5", "0.55"), "KTRES50": ("66", "60"), "KTRESN": ("4.5", "4"),
               "KTRESRELEASE": ("0.05", "0.09"), "PT": ("0.069", "0.138"),
               "PATC": ("0.009", "0.0053")}, _MODEL),
    *_swapped("parameters-swapped", ("296", "297"),
              {"KTRESMAX": ("0.4", "0.65"), "KTRESN": ("0.4", "0.6"),
               "KTRESRELEASE": ("0.075", "0.087"), "PT": ("0.09", "0.0745")}, _MODEL),
)  # fmt: skip
