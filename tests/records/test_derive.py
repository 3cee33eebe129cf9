import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentpk.records import read_nonmem
from latentpk.records.recipes import RENAL_FORMULAS, SIZE_RECIPES

TEXT = """
    ID,TIME,AMT,DV,AGE,WT,HT,SEX,SCR
    1,0,10,.,60,72,177.8,1,1.0
    1,2,.,5,60,72,177.8,1,.
    1,4,.,5,60,72,177.8,1,2.0
    2,0,10,.,60,72,177.8,0,0.5
    2,1,.,5,60,72,177.8,0,0.5
"""
TOTAL = {"renal": "cockcroft-gault-total"}


def crcl(read, text=TEXT, covariates=("CRCL",), **options):
    derive = TOTAL | options.pop("derive", {})
    return read(text, covariates=list(covariates), derive=derive, **options)


def test_clearance_follows_creatinine_and_is_printed(read):
    cohort = crcl(read)
    assert (cohort.covariate_names, cohort.covariate_kinds) == (("CRCL",), ("continuous",))
    np.testing.assert_array_equal(cohort[0].covariate_time, [0, 4])
    np.testing.assert_allclose(cohort[0].covariates[:, 0], [80, 40])
    np.testing.assert_allclose(cohort[1].covariates, [[0.85 * 160]])
    (told,) = [notice for notice in cohort.notices if notice.startswith("CRCL is computed")]
    assert "(140 - AGE) WT (0.85 if female) / (72 SCR) [mL/min]" in told
    assert "Cockcroft and Gault, Nephron 1976;16:31" in told
    assert "from AGE, WT, SCR, SEX; SEX 1 is male, 0 or 2 female" in told
    assert cohort.computed == (told,)
    assert cohort.derive.to_dict() == TOTAL


def test_the_inputs_are_carried_by_their_own_rule(read):
    def values(rule):
        return crcl(read, interpolation=rule)[0].covariates[:, 0]

    np.testing.assert_allclose(values("nocb"), [40])
    np.testing.assert_allclose(values("linear"), [80 / 1.25, 80 / 1.75, 40])


def test_floor_and_cap_are_applied_and_printed(read):
    cohort = crcl(read, derive={"creatinine_floor": 0.8, "renal_cap": 84})
    np.testing.assert_allclose(cohort[1].covariates, [[84]])  # 0.85 80 72 / (72 0.8) = 85
    assert "creatinine at least 0.8 mg/dL, at most 84 (Cockcroft" in cohort.computed[0]
    old = {"creatinine_floor": 1.0, "creatinine_floor_age": 65}
    young = crcl(read, derive=old)
    np.testing.assert_allclose(young[1].covariates, [[136]])
    text = TEXT.replace("2,0,10,.,60", "2,0,10,.,80").replace("2,1,.,5,60", "2,1,.,5,80")
    np.testing.assert_allclose(crcl(read, text, derive=old)[1].covariates, [[0.85 * 60]])


@pytest.mark.parametrize("name", RENAL_FORMULAS)
@pytest.mark.parametrize("target", ["CRCL", "EGFR"])
def test_every_formula_answers(read, name, target):
    cohort = read(TEXT, covariates=["WT", target], derive={"renal": name}, purpose="forecast")
    assert cohort.covariate_names == ("WT", target)
    assert 20 < cohort[0].covariates[0, 1] < 200
    assert cohort[0].renal.definition.formula == name


def test_every_size_answers(read):
    text = TEXT.replace("SCR", "GA").replace(",1.0\n", ",30\n").replace("2.0\n", "30\n")
    names = sorted(SIZE_RECIPES)
    cohort = read(text.replace("0.5\n", "32\n"), covariates=names, derive={}, purpose="forecast")
    found = dict(zip(names, cohort[0].covariates[0], strict=True))
    assert found["IBW"] == pytest.approx(73)
    assert found["ABW"] == pytest.approx(73 - 0.4)
    assert found["LBM"] == found["FFM"] == found["LBW"]
    assert found["PMA"] == pytest.approx(30 + 60 * 365.25 / 7)
    assert len(cohort.computed) == len(names)
    assert cohort.derive.to_dict() == {}


@given(st.floats(0.3, 8.0), st.floats(40, 150), st.floats(18, 95))
def test_units_do_not_matter(creatinine, weight, age):
    import polars as pl

    def value(scr, wt, years, units):
        frame = pl.DataFrame(
            {
                "ID": [1, 1], "TIME": [0.0, 1.0], "AMT": [10.0, None], "DV": [None, 5.0],
                "AGE": [years] * 2, "WEIGHT": [wt] * 2, "SEX": [2, 2], "CREA": [scr] * 2,
            }
        )  # fmt: skip
        options = {"covariates": ["CRCL"], "derive": TOTAL, "purpose": "forecast"}
        return read_nonmem(frame, units=units, **options)[0].covariates[0, 0]

    usual = value(creatinine, weight, age, None)
    other = value(88.4 * creatinine, weight / 0.45359237, 12 * age, "CREA=umol/L,WEIGHT=lb,AGE=mo")
    assert other == pytest.approx(usual, rel=1e-9)


def test_without_the_option_the_error_names_it(problems):
    (problem,) = problems(TEXT, covariates=["CRCL"])
    assert (problem.where, problem.found) == ("column CRCL", "it is missing")
    assert "derive={'renal': 'cockcroft-gault-total'}" in problem.mend
    assert "--renal" in problem.mend
    (problem,) = problems(TEXT, covariates=["BMI"])
    assert "from WT, HT by derive={} (--derive" in problem.mend
    (problem,) = problems(TEXT, covariates=["ALB"], derive=TOTAL)
    assert "computed" not in problem.mend


def test_missing_inputs_are_all_named_at_once(problems):
    text = "ID,TIME,AMT,DV,AGE\n1,0,10,.,50\n1,1,.,5,50\n"
    gault, size = problems(text, covariates=["CRCL", "BSA"], derive=TOTAL, purpose="forecast")
    assert "WT or WEIGHT or BW, SCR or CREAT or CREA or SECR, SEX or GENDER" in gault.found
    assert gault.mend == "Add WT, SCR, SEX, or CRCL itself"
    assert size.mend == "Add WT, HT, or BSA itself"


def test_bad_cells_of_an_input_have_their_place(problems):
    text = TEXT.replace("1,1.0\n", "M,1.0\n").replace("0,0.5\n", "3,-0.5\n", 1)
    found = {
        problem.where: problem for problem in problems(text, covariates=["CRCL"], derive=TOTAL)
    }
    assert found["subject 1, record 1 (line 2), column SEX"].found == "'M' is no number"
    assert "0 or 2 for a woman" in found["subject 2, record 1 (line 5), column SEX"].mend
    assert found["subject 2, record 1 (line 5), column SCR"].rule == "SCR is above 0"


def test_a_subject_without_creatinine_is_named_or_imputed(read, problems):
    text = TEXT.replace(",0.5\n", ",.\n")
    (problem,) = problems(text, covariates=["CRCL"], derive=TOTAL)
    assert "SCR is missing for the whole subject" in problem.found
    cohort = crcl(read, text, impute="median")
    np.testing.assert_allclose(cohort[1].covariates, [[68]])


def test_the_code_of_a_woman_can_be_told(read):
    cohort = crcl(read, derive={"female": 1})
    np.testing.assert_allclose(cohort[0].covariates[0], [68])
    assert "SEX 1 is female, other codes male" in cohort.computed[0]


def test_a_column_of_the_file_is_never_replaced(read):
    text = TEXT.replace("SCR", "CRCL")
    cohort = crcl(read, text)
    np.testing.assert_array_equal(cohort[0].covariates[:, 0], [1, 2])
    assert (cohort.computed, cohort.derive, cohort[0].renal.definition) == ((), None, None)
    assert any("The file has CRCL: the formula" in notice for notice in cohort.notices)
    with_other = TEXT.replace("HT", "CLCR")
    told = " ".join(crcl(read, with_other).notices)
    assert "CRCL was asked for: the file's CLCR is unused" in told


def test_clearance_joins_the_covariates_of_a_file_that_were_not_named(read):
    cohort = read(TEXT, derive=TOTAL)
    assert cohort.covariate_names == ("SEX", "SCR", "CRCL")
    np.testing.assert_allclose(cohort[0].covariates[:, -1], [80, 40])
    assert read(TEXT).covariate_names == ("SEX", "SCR")


def test_a_formula_outside_its_ages_and_a_clearance_beyond_belief_warn(read):
    text = TEXT.replace(",60,72", ",10,72")
    told = " ".join(crcl(read, text, units="SCR=mg/L").notices)
    assert "Warning: 5 records have an age outside" in told
    assert "which is for 18 y and older" in told
    assert "of CRCL lie outside" in told


def test_what_was_computed_must_vary_in_a_fit(problems):
    text = TEXT.replace(",2.0\n", ",1.0\n").replace("0,0.5\n", "1,1.0\n")
    (problem,) = problems(text, covariates=["CRCL"], derive=TOTAL)
    assert problem.found == "it is 80 everywhere"


def test_a_formula_that_nothing_asks_for_is_said_to_be_unused(read):
    assert any("unused" in n for n in read(TEXT, covariates=["SEX"], derive=TOTAL).notices)
