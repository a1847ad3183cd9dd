"""Run and type-check what README and docs show; CI runs the two commands of the quickstart."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from foxapi_async import __all__ as public_names
from foxapi_async.emulator import Emulator
from foxapi_async.version import __version__

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text: str) -> list[tuple[str, str]]:
    """Return language and text of each code block of a Markdown document."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


BLOCKS = blocks(README)
SNIPPETS = [code for language, code in BLOCKS if language == "python"]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SCRIPTS = [code for language, code in BLOCKS if language == "sh"]


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=55, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_block_is_in_a_language_that_is_run():
    assert {language for language, _ in BLOCKS} == {"python", "sh"}


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_each_snippet_runs(snippet: str, foxapi_emulator: Emulator, tmp_path: Path):
    if "def test_" in snippet:
        (tmp_path / "test_app.py").write_text(snippet, encoding="utf-8")
        run([sys.executable, "-m", "pytest", "-q", str(tmp_path)], tmp_path)
    else:
        (tmp_path / "app.py").write_text(snippet, encoding="utf-8")
        run([sys.executable, "app.py"], tmp_path)
        pictures = list((tmp_path / "out").glob("*.png"))
        assert len(pictures) == foxapi_emulator.counters.images_billed > 1


def test_running_the_snippet_with_a_journal_again_bills_nothing(
    foxapi_emulator: Emulator, tmp_path: Path
):
    [snippet] = [code for code in SNIPPETS if "journal=" in code]
    (tmp_path / "app.py").write_text(snippet, encoding="utf-8")
    for _ in range(2):
        run([sys.executable, "app.py"], tmp_path)
    assert foxapi_emulator.counters.images_billed == 4
    assert len(list((tmp_path / "out").iterdir())) == 4


@pytest.fixture(scope="module")
def snippets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every Python snippet of README and docs as a module, in one folder."""
    folder = tmp_path_factory.mktemp("snippets")
    for document in DOCUMENTS:
        for number, (language, code) in enumerate(blocks(document.read_text(encoding="utf-8"))):
            if language == "python":
                name = f"{document.stem.lower().replace('-', '_')}_{number}.py"
                (folder / name).write_text(code, encoding="utf-8")
    assert len(list(folder.iterdir())) >= len(SNIPPETS)
    return folder


@pytest.mark.once
@pytest.mark.timeout(300)  # mypy reads the package and aiohttp without a cache
def test_every_snippet_passes_mypy(snippets: Path):
    arguments = ["--strict", "--python-executable", sys.executable, "--cache-dir", os.devnull]
    check([sys.executable, "-m", "mypy", *arguments, "."], snippets)


@pytest.mark.once
@pytest.mark.timeout(300)
def test_every_snippet_passes_pyright(snippets: Path):
    settings = {"typeCheckingMode": "strict", "include": ["."]}
    (snippets / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    pyright = shutil.which("pyright", path=str(Path(sys.executable).parent))
    assert pyright is not None
    check([pyright, "--pythonpath", sys.executable], snippets)


def check(command: list[str], folder: Path) -> None:
    """Run a type checker that finds the package as it is installed, not in the working folder."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("script", SCRIPTS[2:], ids=range(len(SCRIPTS) - 2))
def test_each_command_of_foxapi_runs(
    script: str, foxapi_emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    here = Path(sys.executable).parent  # where an installed `foxapi` lies, activated or not
    monkeypatch.setenv("PATH", f"{here}{os.pathsep}{os.environ['PATH']}")
    run(["bash", "-ec", script], tmp_path)
    pictures = list((tmp_path / "out").glob("*.png"))
    assert len(pictures) == foxapi_emulator.counters.images_billed > 1


def test_the_quickstart_has_two_commands_and_ci_runs_them():
    quickstart = [script.splitlines() for script in SCRIPTS[:2]]
    assert [len(lines) for lines in quickstart] == [1, 1]
    assert quickstart[0][0].endswith("foxapi demo")
    assert quickstart[1][0].endswith("pytest -q")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "readme_command 1" in script
    assert "readme_command 2" in script


def test_every_outcome_is_explained():
    table = set(re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE))
    assert table == {
        "completed",
        "failed",
        "unfinished",
        "rejected",
        "unknown",
        "not_submitted",
    }


def test_the_version_has_an_entry_in_the_changelog():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]" in changelog
    assert f"## [{__version__}] - " in changelog


def test_what_the_changelog_calls_public_is_public():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    classes = set(re.findall(r"`([A-Z]\w+)`", changelog))
    assert classes <= set(public_names)


def test_every_link_into_the_repository_leads_somewhere():
    paths = re.findall(r"\]\((?!https:)([^)]+)\)", README)
    assert len(paths) >= 3
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_glossary_defines_each_term_once():
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    glossary = contributing.partition("## Glossary")[2]
    terms = re.findall(r"^\| ([^|]+) \|", glossary, re.MULTILINE)
    assert len(terms) > 40
    assert [term for term in set(terms) - {"term", "---"} if terms.count(term) > 1] == []
