"""Errors say where, what was found, the rule and the mend; they carry every problem at once."""

import pickle

import pytest

from latentpk import errors
from latentpk.errors import ArtifactError, InputError, LatentPKError, Problem

TIME = Problem(
    where="subject 12, record 4",
    found="TIME 3.5 h is before the previous record (6 h)",
    rule="Times must not decrease within a subject",
    mend="Sort by ID, TIME or reset with EVID=3",
)


def test_a_problem_is_one_line_of_four_parts():
    assert str(TIME) == (
        "subject 12, record 4: TIME 3.5 h is before the previous record (6 h). Times must not "
        "decrease within a subject. Sort by ID, TIME or reset with EVID=3."
    )


def test_an_input_error_names_its_source_and_every_problem():
    error = InputError([TIME, TIME], source="cohort.csv")
    assert str(error) == f"2 problems in cohort.csv:\n  {TIME}\n  {TIME}"
    assert error.problems == (TIME, TIME)
    assert str(InputError([TIME])).startswith("1 problem in the input:\n")


def test_a_long_list_is_cut_in_print_alone():
    error = InputError([TIME] * (InputError.shown + 3))
    lines = str(error).splitlines()
    assert len(lines) == 1 + InputError.shown + 1
    assert lines[-1] == "  ... and 3 more."
    assert len(error.problems) == InputError.shown + 3
    assert "more" not in str(InputError([TIME] * InputError.shown))


def test_a_sentence_alone_is_an_error_without_problems():
    error = InputError("structure '9c': expected 1c, 2c or 3c.")
    assert str(error) == "structure '9c': expected 1c, 2c or 3c."
    assert error.problems == ()


@pytest.mark.parametrize(
    "name", ["InputError", "NotFittedError", "ConvergenceError", "ArtifactError"]
)
def test_one_net_catches_what_is_raised_on_purpose(name):
    assert issubclass(getattr(errors, name), LatentPKError)
    assert issubclass(getattr(errors, name), ValueError) == (name == "InputError")


@pytest.mark.parametrize("name", ["ExtrapolationWarning", "PosteriorWarning", "DoseLimitWarning"])
def test_warnings_are_shown_by_default(name):
    assert issubclass(getattr(errors, name), UserWarning)


def test_an_error_crosses_from_a_worker_process():
    error = pickle.loads(pickle.dumps(ArtifactError("damaged")))
    assert str(error) == "damaged"
    text = str(InputError([TIME]))
    assert str(pickle.loads(pickle.dumps(InputError([TIME])))) == text
