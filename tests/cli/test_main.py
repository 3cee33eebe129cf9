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


ASKED = (
    "simulate vancomycin-goti-2018 --out out",
    "fit data.csv --out out --components auto --renal schwartz --route iv --units time=h",
    "fit data.csv --out out --components 2 --structure 1c-mm-iv --initial vmax=20,km=5",
    "fit data.csv --out out --start-from general --renal schwartz",
    "fit data.csv --out out --start-from vancomycin-goti-2018 --renal card",
    "popfit data.csv --out out.json --structure 1c-oral --effects ka~WT --dose-covariates ka~FED",
    "covariates data.csv --out out.json --structure 1c-oral",
    "complexity model data.csv --out out.json",
    "distill vancomycin-goti-2018 --out out",
    "forecast model data.csv --out out.csv --condition-until 48",
    "exposure model data.csv --metric auc24 --at 24 --range 400:600 --out out.json",
    "dose model data.csv --target auc24=400:600 --doses 500:2000:250 --dose-covariates FED=1 "
    "--intervals 8,12 --out out.json",
    "show model",
    "library",
    "data",
    "nano fit data.csv --out out",
    "nano predict model data.csv --out out.csv",
    "nano evaluate data.csv --out out.json",
    "nano explain model data.csv --out out.json",
    "nano course model data.csv --out out.csv",
    "nano design model data.csv --out out.json",
)


def test_threads_are_set_before_a_verb_imports_jax(tmp_path):
    # jax reads their number when it is imported; a verb that imports it first cannot begin at all
    (tmp_path / "data.csv").touch()
    (tmp_path / "model").mkdir()
    code = (
        "import sys\n"
        "from latentpk import compilation\n"
        "from latentpk.cli.main import app\n"
        "def begun(threads):\n"
        "    sys.exit(1 if 'jax' in sys.modules else 7)\n"
        "compilation.set_threads = begun\n"
        "for asked in sys.argv[1:]:\n"
        "    try:\n        app(asked.split())\n"
        "    except SystemExit as left:\n"
        "        if left.code != 7:\n            sys.exit(f'{asked}: {left.code}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *ASKED],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
