import os
import re
import subprocess
import sys
import time

import pytest

VERBS = ("simulate", "fit", "distill", "forecast", "show", "library", "data")


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_an_example_and_the_options_of_every_verb(latentpk, verb):
    result = latentpk(verb, "--help")
    assert result.exit_code == 0
    shown = plain(result.stdout)
    assert f"Example: latentpk {verb}" in shown
    for option in ("--quiet", "--seed", "--threads", "--units"):
        assert option in shown


def test_help_lists_the_verbs(latentpk):
    shown = plain(latentpk("--help").stdout)
    assert all(verb in shown for verb in VERBS)


@pytest.mark.parametrize(
    ("verb", "options"),
    [
        ("simulate", ("--subjects", "--out")),
        (
            "fit",
            (
                "--out",
                "--covariates",
                "--decoder",
                "--structure",
                "--route",
                "--interpolation",
                "--impute",
                "--epochs",
                "--start-from",
            ),
        ),
        ("distill", ("--out", "--subjects", "--decoder", "--epochs")),
        ("forecast", ("--out", "--plots", "--condition-until", "--ties", "--draws")),
    ],
)
def test_each_verb_has_its_options(latentpk, verb, options):
    shown = plain(latentpk(verb, "--help").stdout)
    assert [option for option in options if option not in shown] == []


def test_version(latentpk):
    assert latentpk("--version").stdout.startswith("latentpk ")


def test_help_is_quick_and_imports_no_jax():
    code = (
        "import sys\n"
        "from latentpk.cli.main import app\n"
        "try:\n    app(['--help'])\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'jax', 'numpy', 'polars', 'matplotlib', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert time.perf_counter() - begin < 5  # a busy machine; alone it is a third of a second
