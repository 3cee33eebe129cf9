"""The package as a user meets it: names, a cheap import, the lock, the wheel."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import latentpk

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "latentpk"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def python(code, *flags):
    command = [sys.executable, *flags, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)


def test_import_is_cheap():
    code = (
        "import sys, time\n"
        "start = time.perf_counter()\n"
        "import latentpk\n"
        "print(time.perf_counter() - start)\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    runs = [python(code).stdout.splitlines() for _ in range(3)]
    assert min(float(seconds) for seconds, _ in runs) < 0.2
    heavy = {"jax", "jaxlib", "numpy", "equinox", "polars", "pydantic", "matplotlib", "typer"}
    assert not heavy & set(runs[0][1].split())


@pytest.mark.parametrize("name", latentpk.__all__)
def test_every_public_name_is_there(name):
    assert name in dir(latentpk)
    assert getattr(latentpk, name) is getattr(latentpk, name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'read_nonmen'"):
        _ = latentpk.read_nonmen


def test_the_version_is_the_projects():
    assert latentpk._version() in (PROJECT["project"]["version"], "0+unknown")
    version = PROJECT["project"]["version"]
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def pins(name):
    """Each requirement of a lock with its hashes."""
    lock = (ROOT / name).read_text(encoding="utf-8")
    found = {}
    for block in re.split(r"^(?=[a-z])", lock, flags=re.MULTILINE)[1:]:
        first, *rest = block.strip().splitlines()
        hashes = {line.strip(" \\") for line in rest if "--hash=" in line}
        found[first.rstrip(" \\")] = hashes
    return found


class TestLock:
    def test_every_requirement_is_pinned_and_hashed(self):
        for requirement, hashes in pins("requirements-dev.lock").items():
            assert re.match(r"[a-z0-9-]+==[0-9][^ ]*( ; .+)?$", requirement)
            assert hashes
            assert all(value.startswith("--hash=sha256:") for value in hashes)

    def test_a_user_installs_a_part_of_what_was_tested(self):
        runtime, everything = pins("requirements.lock"), pins("requirements-dev.lock")
        assert len(runtime) > 40
        for requirement, hashes in runtime.items():
            assert everything[requirement] == hashes
        assert not any(name.startswith(("pytest", "ruff", "pyright==")) for name in runtime)

    @pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
    def test_no_place_is_named_and_no_second_framework_comes_in(self, name):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in text
        assert "index-url" not in text
        assert not re.search(r"^(torch|tensorflow|nvidia)", text, flags=re.MULTILINE)

    def test_platforms_choose_one_xgboost(self):
        chosen = [line for line in pins("requirements.lock") if line.startswith("xgboost")]
        markers = sorted(line.split("==")[0] + line.split(";")[1] for line in chosen)
        assert markers == [
            "xgboost sys_platform == 'darwin'",
            "xgboost-cpu sys_platform != 'darwin'",
        ]

    def test_every_direct_dependency_and_the_build_backend_are_locked(self):
        build = PROJECT["build-system"]["requires"]
        assert PROJECT["dependency-groups"]["build"] == build
        extras = PROJECT["project"]["optional-dependencies"]
        cases = {
            "requirements.lock": PROJECT["project"]["dependencies"] + build,
            "requirements-dev.lock": extras["test"] + extras["dev"],
        }
        for lock, wanted in cases.items():
            locked = {requirement.split("==")[0] for requirement in pins(lock)}
            assert {re.match(r"[a-z-]+", name).group() for name in wanted} <= locked


def test_every_room_is_under_the_import_contract():
    layers = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    named = set(re.findall(r"[a-z]+", " ".join(layers)))
    present = {
        path.stem for path in SOURCE.iterdir() if re.fullmatch(r"[a-z]\w*(\.py)?", path.name)
    }
    assert present <= named


@pytest.mark.parametrize("name", ["utils", "helpers", "common", "misc", "core", "base"])
def test_nothing_is_called(name):
    assert not [*SOURCE.rglob(f"{name}.py"), *SOURCE.rglob(name)]


def test_doctests_are_found_behind_the_type_checker():
    from latentpk import compilation

    assert hasattr(compilation.set_threads, "__wrapped__")  # jaxtyping's hook is on
    import doctest

    found = {test.name for test in doctest.DocTestFinder().find(compilation) if test.examples}
    assert found == {"latentpk.compilation.count_programs"}


@pytest.mark.long
def test_the_wheel_holds_every_file(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    command = [*build, "--disable-pip-version-check", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    files = {path for path in SOURCE.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert {f"latentpk/{path.relative_to(SOURCE).as_posix()}" for path in files} <= held
    assert any(name.endswith("licenses/LICENSE") for name in held)
