r"""Kidney function, body size and maturity by published formulas, each with unit and citation.

`female` is 1 for a woman and 0 for a man; arrays broadcast, nan stays nan. Serum creatinine is the
enzymatic or IDMS-traceable one in mg/dL; every clearance assumes that it is at steady state.
"""

import numpy as np

Values = float | list[float] | list[int] | np.ndarray
Result = float | np.ndarray


def cockcroft_gault(*, age: Values, weight: Values, creatinine: Values, female: Values) -> Result:
    r"""Creatinine clearance of an adult.

    .. math:: CL_{cr} = \frac{(140 - age)\,weight}{72\,S_{cr}} \times (0.85\ \text{if female})

    Args:
        age: Age [y]; from 140 on the clearance is 0.
        weight: Total, ideal or adjusted body weight [kg].
        creatinine: Serum creatinine [mg/dL].
        female: 1 for a woman, 0 for a man.

    Returns:
        Clearance [mL/min].

    References:
        Cockcroft DW, Gault MH. Nephron 1976;16:31-41.

    Example:
        >>> float(cockcroft_gault(age=60, weight=72, creatinine=1.0, female=1))
        68.0
    """
    years = np.maximum(140.0 - np.asarray(age, float), 0.0)
    man = years * np.asarray(weight, float) / (72.0 * np.asarray(creatinine, float))
    return man * _by_sex(female, man=1.0, woman=0.85)


def schwartz(*, height: Values, creatinine: Values) -> Result:
    r"""Glomerular filtration of a child of 1 to 16 years, the bedside formula.

    .. math:: GFR = 0.413\,height / S_{cr}

    Args:
        height: Height [cm].
        creatinine: Serum creatinine [mg/dL].

    Returns:
        Filtration [mL/min/1.73m2].

    References:
        Schwartz GJ et al. J Am Soc Nephrol 2009;20:629-637.

    Example:
        >>> float(schwartz(height=120, creatinine=0.5).round(2))
        99.12
    """
    return 0.413 * np.asarray(height, float) / np.asarray(creatinine, float)


def ckd_epi_2021(*, age: Values, creatinine: Values, female: Values) -> Result:
    r"""Glomerular filtration of an adult, the creatinine equation without race.

    .. math:: GFR = 142\,\min(S_{cr}/\kappa, 1)^{\alpha} \max(S_{cr}/\kappa, 1)^{-1.2}
        \times 0.9938^{age} \times (1.012\ \text{if female})

    with :math:`\kappa` 0.7 and :math:`\alpha` -0.241 of a woman, 0.9 and -0.302 of a man.

    Args:
        age: Age [y].
        creatinine: Serum creatinine [mg/dL].
        female: 1 for a woman, 0 for a man.

    Returns:
        Filtration [mL/min/1.73m2].

    References:
        Inker LA et al. N Engl J Med 2021;385:1737-1749.

    Example:
        >>> float(ckd_epi_2021(age=50, creatinine=1.0, female=0).round(1))
        91.7
    """
    ratio = np.asarray(creatinine, float) / _by_sex(female, man=0.9, woman=0.7)
    low = np.minimum(ratio, 1.0) ** _by_sex(female, man=-0.302, woman=-0.241)
    high = np.maximum(ratio, 1.0) ** -1.2
    return 142.0 * low * high * 0.9938 ** np.asarray(age, float) * _by_sex(female, 1.0, 1.012)


def deindexed(rate: Values, *, surface: Values) -> Result:
    r"""Filtration of this body rather than of 1.73 m2, :math:`GFR \times BSA / 1.73`.

    Args:
        rate: Filtration [mL/min/1.73m2].
        surface: Body surface [m2].

    Returns:
        Filtration [mL/min].

    Example:
        >>> float(deindexed(90.0, surface=2.0).round(2))
        104.05
    """
    return np.asarray(rate, float) * np.asarray(surface, float) / 1.73


def ideal_weight(*, height: Values, female: Values) -> Result:
    r"""Ideal body weight of an adult.

    .. math:: IBW = (45.5\ \text{if female, else}\ 50) + 2.3\,(height / 2.54 - 60)

    The formula begins at 5 feet; below it the weight at 5 feet is held.

    Args:
        height: Height [cm].
        female: 1 for a woman, 0 for a man.

    Returns:
        Weight [kg].

    References:
        Devine BJ. Drug Intell Clin Pharm 1974;8:650-655.

    Example:
        >>> ideal_weight(height=[177.8, 140.0], female=[0, 1]).round(1).tolist()
        [73.0, 45.5]
    """
    above = np.maximum(np.asarray(height, float) / 2.54 - 60.0, 0.0)
    return _by_sex(female, man=50.0, woman=45.5) + 2.3 * above


def adjusted_weight(*, weight: Values, ideal: Values) -> Result:
    r"""Adjusted body weight, :math:`IBW + 0.4\,(weight - IBW)`.

    Args:
        weight: Total body weight [kg].
        ideal: Ideal body weight [kg].

    Returns:
        Weight [kg].

    References:
        Bauer LA. Applied Clinical Pharmacokinetics, 2nd ed., 2008; the factor 0.4 is the usual one.

    Example:
        >>> float(adjusted_weight(weight=120, ideal=70))
        90.0
    """
    base = np.asarray(ideal, float)
    return base + 0.4 * (np.asarray(weight, float) - base)


def fat_free_mass(*, weight: Values, height: Values, female: Values) -> Result:
    r"""Fat-free mass, also called lean body weight, of an adult.

    .. math:: FFM = \frac{9270\,weight}{6680 + 216\,BMI}\ \text{(man)}, \qquad
        \frac{9270\,weight}{8780 + 244\,BMI}\ \text{(woman)}

    Args:
        weight: Total body weight [kg].
        height: Height [cm].
        female: 1 for a woman, 0 for a man.

    Returns:
        Mass [kg].

    References:
        Janmahasatian S et al. Clin Pharmacokinet 2005;44:1051-1065.

    Example:
        >>> float(fat_free_mass(weight=70, height=176, female=0).round(1))
        56.1
    """
    index = body_mass_index(weight=weight, height=height)
    base, slope = _by_sex(female, 6680.0, 8780.0), _by_sex(female, 216.0, 244.0)
    return 9270.0 * np.asarray(weight, float) / (base + slope * index)


def body_mass_index(*, weight: Values, height: Values) -> Result:
    r"""Body mass index, :math:`weight / height^2`.

    Args:
        weight: Total body weight [kg].
        height: Height [cm].

    Returns:
        Index [kg/m2].

    References:
        Keys A et al. J Chronic Dis 1972;25:329-343.

    Example:
        >>> float(body_mass_index(weight=80, height=200))
        20.0
    """
    return np.asarray(weight, float) / (np.asarray(height, float) / 100.0) ** 2


def body_surface(*, weight: Values, height: Values) -> Result:
    r"""Body surface, :math:`\sqrt{weight \cdot height / 3600}`.

    Args:
        weight: Total body weight [kg].
        height: Height [cm].

    Returns:
        Surface [m2].

    References:
        Mosteller RD. N Engl J Med 1987;317:1098.

    Example:
        >>> float(body_surface(weight=80, height=180))
        2.0
    """
    return np.sqrt(np.asarray(weight, float) * np.asarray(height, float) / 3600.0)


def body_surface_dubois(*, weight: Values, height: Values) -> Result:
    r"""Body surface, :math:`0.007184\,weight^{0.425} height^{0.725}`.

    Args:
        weight: Total body weight [kg].
        height: Height [cm].

    Returns:
        Surface [m2].

    References:
        DuBois D, DuBois EF. Arch Intern Med 1916;17:863-871.

    Example:
        >>> float(body_surface_dubois(weight=80, height=180).round(3))
        1.996
    """
    return 0.007184 * np.asarray(weight, float) ** 0.425 * np.asarray(height, float) ** 0.725


def postmenstrual_age(*, gestation: Values, age: Values) -> Result:
    r"""Postmenstrual age, :math:`GA + PNA`.

    Args:
        gestation: Gestational age at birth [wk].
        age: Postnatal age [y].

    Returns:
        Age [wk].

    References:
        Engle WA. Pediatrics 2004;114:1362-1364.

    Example:
        >>> float(postmenstrual_age(gestation=30, age=14 / 365.25))
        32.0
    """
    return np.asarray(gestation, float) + np.asarray(age, float) * (365.25 / 7.0)


def _by_sex(female: Values, man: float, woman: float) -> Result:
    return np.where(np.asarray(female, float) == 1.0, woman, man)
