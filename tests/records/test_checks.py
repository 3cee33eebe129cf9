import pytest

HEAD = "ID,TIME,EVID,AMT,DV,LLOQ\n"
TWO = "1,0,1,10,.,.\n1,1,0,.,5,.\n2,0,1,10,.,.\n2,1,0,.,5,.\n"


def _told(problems):
    return [(p.where, p.found) for p in problems]


@pytest.mark.parametrize("purpose", ["fit", "forecast"])
def test_a_table_without_doses_serves_nothing(problems, purpose):
    told = problems(HEAD + "1,1,0,.,5,.\n2,1,0,.,5,.\n", purpose=purpose)
    assert _told(told) == [("records", "none of them is a dose")]


@pytest.mark.parametrize("purpose", ["fit", "forecast"])
def test_a_dose_of_nothing_is_none(problems, purpose):
    told = problems(HEAD + "1,0,1,0,.,.\n1,1,0,.,5,.\n2,1,0,.,5,.\n", purpose=purpose)
    assert _told(told) == [("records", "none of them is a dose")]


def test_a_fit_needs_levels(problems):
    told = problems(HEAD + "1,0,1,10,.,.\n1,1,2,.,.,.\n2,0,1,10,.,.\n")
    assert _told(told) == [("records", "none of them is a level")]


def test_a_fit_needs_levels_of_two_subjects(problems):
    told = problems(HEAD + "1,0,1,10,.,.\n1,1,0,.,5,.\n2,0,1,10,.,.\n")
    assert _told(told) == [("records", "only one subject has levels")]


def test_a_fit_needs_a_level_above_its_limit(problems):
    text = HEAD + TWO.replace("5,.", "5,9")
    assert _told(problems(text)) == [("column LLOQ", "every level is below its limit")]


def test_a_subject_with_levels_needs_a_dose(problems):
    told = problems(HEAD + TWO + "3,1,0,.,5,.\n")
    assert _told(told) == [("subject 3, record 1 (line 6), column AMT", "the subject has no dose")]


def test_subjects_without_levels_stay_in_a_fit_with_a_notice(read):
    cohort = read(HEAD + TWO + "3,0,1,10,.,.\n4,1,2,.,.,.\n")
    assert len(cohort) == 4
    assert "2 subjects have no levels." in cohort.notices


def test_a_forecast_needs_no_levels_but_a_dose_for_everyone(read, problems):
    text = HEAD + "1,0,1,10,.,.\n1,1,2,.,.,.\n"
    subject = read(text, purpose="forecast")[0]
    assert len(subject.levels) == 0
    assert len(subject.outputs) == 1
    told = problems(text + "2,1,2,.,.,.\n", purpose="forecast")
    assert _told(told) == [("subject 2, record 1 (line 4), column AMT", "the subject has no dose")]


def test_all_levels_below_the_limit_inform_a_forecast(read):
    cohort = read(HEAD + "1,0,1,10,.,.\n1,1,0,.,5,9\n", purpose="forecast")
    assert cohort[0].levels.censored.all()


def test_the_choice_of_a_dose_needs_neither_doses_nor_levels(read, problems):
    subject = read(HEAD + "1,1,2,.,.,.\n", purpose="dose")[0]
    assert len(subject.doses) == 0
    assert len(subject.levels) == 0
    told = problems(HEAD + "1,1,0,.,5,.\n", purpose="dose")
    assert _told(told) == [("subject 1, record 1 (line 2), column AMT", "the subject has no dose")]
