"""The examples without await run as they are, on the emulator."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from foxapi_async.emulator import Emulator

pytestmark = [pytest.mark.once, pytest.mark.ordinary_loop]

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def foxapi_emulator_options() -> dict[str, object]:
    return {"duration": 0.2, "picture_scale": 1 / 16}


def run(*arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=EXAMPLES,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_the_script_saves_all(foxapi_emulator: Emulator, tmp_path: Path):
    run("script.py", tmp_path)
    assert {path.stem for path in tmp_path.glob("*.png")} == {"fox", "wolf", "bear"}
    assert foxapi_emulator.counters.images_billed == 3


def test_the_worker_pays_once_for_jobs_that_are_delivered_twice(
    foxapi_emulator: Emulator, tmp_path: Path
):
    said = run("worker.py", tmp_path, "a fox")
    assert len(said.splitlines()) == 2
    assert foxapi_emulator.counters.images_billed == 1


REQUESTS = """
import django_views
from django.test import Client
client = Client()
submitted = [client.post("/pictures", {"prompt": "a fox", "key": "order-1"}) for _ in range(2)]
ids = {answer.json()["task_id"] for answer in submitted}
picture = client.get(f"/pictures/{ids.pop()}")
refused = client.post("/pictures", {"prompt": ""})
print([answer.status_code for answer in submitted], len(ids), picture.status_code, picture.content[:4])
print(refused.status_code)
django_views.session().close()
"""


def test_the_views_of_django_submit_once_and_return_the_picture(
    foxapi_emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("django")
    monkeypatch.setenv("FOXAPI_JOURNAL", str(tmp_path / "site.db"))
    monkeypatch.setenv("PYTHONPATH", f"{EXAMPLES}:{EXAMPLES.parent}")
    said = run("-c", REQUESTS)
    assert said.splitlines()[0] == r"[202, 202] 0 200 b'\x89PNG'"
    assert said.splitlines()[1] == "400"
    assert foxapi_emulator.counters.images_billed == 1
