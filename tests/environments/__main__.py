"""Build the environments of `environments.toml` and run the package's tests in each of them.

``python -m tests.environments`` runs all, ``python -m tests.environments newest uvloop`` runs two.
It needs `uv` (``pip install uv``), whose resolver can choose the lowest versions.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("environments.toml")
LONGEST = 600.0
"""Seconds that one command may take."""

Environment = Mapping[str, Any]
UV = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


class FailedError(Exception):
    """A command failed; the text is its output."""


def main(names: list[str]) -> int:
    """Run the named environments, or all, and return the exit code."""
    if UV is None:
        print("uv is not installed: pip install uv", file=sys.stderr)
        return 2
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    subset = " ".join(table.pop("subset").split())
    chosen = {name: table[name] for name in names or table}
    failed = []
    with tempfile.TemporaryDirectory(prefix="environments-") as scratch, Builds(scratch) as builds:
        # Building waits for the network and the disk, so build ahead of the tests that run.
        for name in chosen:
            builds.start(name, table)
        for name, environment in chosen.items():
            print(f"\n-- {name}: {environment['what']}", flush=True)
            try:
                run(name, environment, subset, builds, Path(scratch, f"{name}-scratch"))
            except FailedError as error:
                print(error, flush=True)
                failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


class Builds:
    """The virtual environments, each built once, and the distributions that some of them need."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._pool = ThreadPoolExecutor(max_workers=2)
        self._environments: dict[str, Future[Path | None]] = {}
        self._distributions = self._pool.submit(self._build_distributions)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def start(self, name: str, table: Mapping[str, Environment]) -> None:
        """Begin to build an environment, or the one that it reuses."""
        source = table[name].get("reuse", name)
        if source not in self._environments:
            build = self._pool.submit(self._build, source, table[source])
            self._environments[source] = build
        self._environments[name] = self._environments[source]

    def wait(self, name: str) -> Path | None:
        """Return the folder of programs of an environment, None if there is no Python for it."""
        return self._environments[name].result()

    def placeholders(self) -> dict[str, str]:
        """Return where the distributions are."""
        return self._distributions.result()

    def _build_distributions(self) -> dict[str, str]:
        target = self._folder / "distributions"
        call([UV, "build", "--quiet", "--out-dir", target, ROOT])
        [wheel], [sdist] = target.glob("*.whl"), target.glob("*.tar.gz")
        return {"wheel": str(wheel), "sdist": str(sdist)}

    def _build(self, name: str, environment: Environment) -> Path | None:
        python = find_python(environment.get("python"))
        if python is None:
            return None
        target = self._folder / name
        call([UV, "venv", "--quiet", "--python", python, target])
        arguments = shlex.split(fill(environment["install"], self.placeholders()))
        call([UV, "pip", "install", "--quiet", "--python", target / "bin/python", *arguments])
        return target / "bin"


def run(name: str, environment: Environment, subset: str, builds: Builds, scratch: Path) -> None:
    """Run the commands of one environment; raise FailedError if one of them fails."""
    programs = builds.wait(name)
    if programs is None:
        print(f"   skipped: no Python {' or '.join(environment['python'])} on this machine")
        return
    scratch.mkdir()
    places = {"scratch": str(scratch), "subset": subset, **builds.placeholders()}
    folder = ROOT / fill(environment.get("folder", "."), places)
    for command in environment["commands"]:
        begun = time.monotonic()
        arguments = shlex.split(fill(command, places))
        said = call(arguments, folder, clean_variables(programs, environment))
        last = said.strip().splitlines()[-1:]
        print(
            f"   {time.monotonic() - begun:3.0f} s  {command}",
            *last,
            sep="\n          ",
            flush=True,
        )


def fill(text: str, places: Mapping[str, str]) -> str:
    """Replace the placeholders of the table."""
    for name, value in places.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def clean_variables(programs: Path, environment: Environment) -> dict[str, str]:
    """Return environment variables without those that could lead out of the environment."""
    foreign = ("VIRTUAL_ENV", "PYTHON", "COVERAGE_", "PYTEST_", "FOXAPI_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": path, **environment.get("variables", {})}


def find_python(versions: list[str] | None) -> str | None:
    """Return the first interpreter that starts, the one that runs this by default."""
    if versions is None:
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in versions:
        for python in [f"python{version}", *pyenv.glob(f"{version}.*/bin/python")]:
            # A pyenv shim is on PATH even if the version behind it is not the one in use.
            if shutil.which(python) and not subprocess.call(
                [python, "-c", ""], stderr=subprocess.DEVNULL
            ):
                return str(python)
    return None


def call(
    arguments: list[Any], folder: Path = ROOT, variables: Mapping[str, str] | None = None
) -> str:
    """Run a command and return all it printed; raise FailedError if it fails or takes too long."""
    program = shutil.which(arguments[0], path=(variables or os.environ)["PATH"])
    command = [str(program), *map(str, arguments[1:])]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LONGEST,
            text=True,
            errors="replace",
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode(errors="replace")
        raise FailedError(f"{said}\n{shlex.join(command)}: not over after {LONGEST} s") from None
    if done.returncode != 0:
        raise FailedError(f"{done.stdout}\n{shlex.join(command)}: exit code {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
