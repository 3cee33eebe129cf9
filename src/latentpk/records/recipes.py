"""Which covariates can be computed, from what, and by which formula."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from latentpk.records import formulas

Values = Mapping[str, np.ndarray]
RenalFormula = Literal[
    "cockcroft-gault-total",
    "cockcroft-gault-ideal",
    "cockcroft-gault-adjusted",
    "schwartz",
    "ckd-epi-2021",
    "ckd-epi-2021-deindexed",
]
RENAL_FORMULAS: tuple[str, ...] = get_args(RenalFormula)
RENAL = ("CRCL", "CLCR", "EGFR", "GFR")
CREATININE = ("SCR", "CREAT", "CREA", "SECR")
DIALYSIS = ("DIAL", "HD", "DIALYSIS", "CRRT", "RRT")
# what a formula needs, and the columns that can hold it
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "AGE": ("AGE", "PNA"),
    "PNA": ("PNA", "AGE"),
    "GA": ("GA",),
    "WT": ("WT", "WEIGHT", "BW"),
    "HT": ("HT", "HEIGHT"),
    "SEX": ("SEX", "GENDER"),
    "SCR": CREATININE,
}


@dataclass(frozen=True)
class Recipe:
    """How one covariate is computed.

    Attributes:
        needs: Keys of `COLUMNS`.
        name: What it is called in a sentence.
        formula: As printed, with the unit of its result.
        citation: Where it comes from.
        compute: Values by need (SEX as 1 for a woman, 0 for a man) to the result.
        ages: From and to which age [y] the formula was made for.
    """

    needs: tuple[str, ...]
    name: str
    formula: str
    citation: str
    compute: Callable[[Values], Any]
    ages: tuple[float, float] = (0.0, float("inf"))


def _ideal(v: Values) -> Any:
    return formulas.ideal_weight(height=v["HT"], female=v["SEX"])


def _adjusted(v: Values) -> Any:
    return formulas.adjusted_weight(weight=v["WT"], ideal=_ideal(v))


def _fat_free(v: Values) -> Any:
    return formulas.fat_free_mass(weight=v["WT"], height=v["HT"], female=v["SEX"])


def _surface(v: Values) -> Any:
    return formulas.body_surface(weight=v["WT"], height=v["HT"])


def _gault(weight: Callable[[Values], Any]) -> Callable[[Values], Any]:
    return lambda v: formulas.cockcroft_gault(
        age=v["AGE"], weight=weight(v), creatinine=v["SCR"], female=v["SEX"]
    )


def _ckd_epi(v: Values) -> Any:
    return formulas.ckd_epi_2021(age=v["AGE"], creatinine=v["SCR"], female=v["SEX"])


def _ckd_epi_deindexed(v: Values) -> Any:
    return formulas.deindexed(_ckd_epi(v), surface=_surface(v))


_DEVINE = "Devine, Drug Intell Clin Pharm 1974;8:650"
_IBW = "IBW = (45.5 if female, else 50) + 2.3 (HT/2.54 - 60 or 0 if less)"
_ABW = f"ABW = IBW + 0.4 (WT - IBW), {_IBW}"
_MOSTELLER = "Mosteller, N Engl J Med 1987;317:1098"
_GAULT = "Cockcroft and Gault, Nephron 1976;16:31"
_GAULT_FORM = "(140 - AGE) {} (0.85 if female) / (72 SCR) [mL/min]"
_INKER = "Inker, N Engl J Med 2021;385:1737"
_INKER_FORM = (
    "142 min(SCR/k, 1)^a max(SCR/k, 1)^-1.2 0.9938^AGE (1.012 if female), "
    "k 0.7 and a -0.241 if female, else 0.9 and -0.302"
)
_LEAN = Recipe(
    ("WT", "HT", "SEX"),
    "fat-free mass",
    "9270 WT / (6680 + 216 BMI), if female 9270 WT / (8780 + 244 BMI) [kg]",
    "Janmahasatian, Clin Pharmacokinet 2005;44:1051",
    _fat_free,
)
_ADULT = (18.0, float("inf"))

RENAL_RECIPES: Mapping[str, Recipe] = {
    "cockcroft-gault-total": Recipe(
        ("AGE", "WT", "SCR", "SEX"),
        "Cockcroft-Gault with total weight",
        _GAULT_FORM.format("WT"),
        _GAULT,
        _gault(lambda v: v["WT"]),
        _ADULT,
    ),
    "cockcroft-gault-ideal": Recipe(
        ("AGE", "HT", "SCR", "SEX"),
        "Cockcroft-Gault with ideal weight",
        f"{_GAULT_FORM.format('IBW')}, {_IBW}",
        f"{_GAULT}; {_DEVINE}",
        _gault(_ideal),
        _ADULT,
    ),
    "cockcroft-gault-adjusted": Recipe(
        ("AGE", "WT", "HT", "SCR", "SEX"),
        "Cockcroft-Gault with adjusted weight",
        f"{_GAULT_FORM.format('ABW')}, {_ABW}",
        f"{_GAULT}; {_DEVINE}",
        _gault(_adjusted),
        _ADULT,
    ),
    "schwartz": Recipe(
        ("HT", "SCR"),
        "bedside Schwartz",
        "0.413 HT / SCR [mL/min/1.73m2]",
        "Schwartz, J Am Soc Nephrol 2009;20:629",
        lambda v: formulas.schwartz(height=v["HT"], creatinine=v["SCR"]),
        (1.0, 17.0),
    ),
    "ckd-epi-2021": Recipe(
        ("AGE", "SCR", "SEX"),
        "CKD-EPI 2021",
        f"{_INKER_FORM} [mL/min/1.73m2]",
        _INKER,
        _ckd_epi,
        _ADULT,
    ),
    "ckd-epi-2021-deindexed": Recipe(
        ("AGE", "WT", "HT", "SCR", "SEX"),
        "CKD-EPI 2021 de-indexed by body surface",
        f"{_INKER_FORM}, times sqrt(WT HT/3600) / 1.73 [mL/min]",
        f"{_INKER}; {_MOSTELLER}",
        _ckd_epi_deindexed,
        _ADULT,
    ),
}
SIZE_RECIPES: Mapping[str, Recipe] = {
    "IBW": Recipe(("HT", "SEX"), "ideal weight", f"{_IBW} [kg]", _DEVINE, _ideal),
    "ABW": Recipe(("WT", "HT", "SEX"), "adjusted weight", f"{_ABW} [kg]", _DEVINE, _adjusted),
    "LBM": _LEAN,
    "LBW": _LEAN,
    "FFM": _LEAN,
    "BSA": Recipe(("WT", "HT"), "body surface", "sqrt(WT HT/3600) [m2]", _MOSTELLER, _surface),
    "BMI": Recipe(
        ("WT", "HT"),
        "body mass index",
        "WT / (HT/100)^2 [kg/m2]",
        "Keys, J Chronic Dis 1972;25:329",
        lambda v: formulas.body_mass_index(weight=v["WT"], height=v["HT"]),
    ),
    "PMA": Recipe(
        ("GA", "PNA"),
        "postmenstrual age",
        "GA + PNA [wk]",
        "Engle, Pediatrics 2004;114:1362",
        lambda v: formulas.postmenstrual_age(gestation=v["GA"], age=v["PNA"]),
    ),
}
