"""The README's Python blocks run, in order, as one script, in an empty folder."""

import re
from pathlib import Path

import pytest
from benchmarks import readme

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)


@pytest.mark.long
def test_the_python_blocks_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "readme"}
    text = README.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start(1))
        # Blank lines in front let a traceback name the README's own line.
        exec(compile("\n" * line + match.group(1), str(README), "exec"), namespace)


def test_the_figures_are_those_of_the_results():
    written = README.read_text(encoding="utf-8").split(readme.BEGIN)[1].split(readme.END)[0]
    assert written == readme.summary(readme.stored), "run: python -m benchmarks.readme"
    page = (README.parent / "docs" / "figures.md").read_text(encoding="utf-8")
    assert page == readme.HEAD + readme.figures(readme.stored), "run: python -m benchmarks.readme"
