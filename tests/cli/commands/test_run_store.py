"""`foxapi run JOBS -o s3://…`: pictures in an object store, records on this machine."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import anyio
import pytest
import typer
from aiohttp import web

from foxapi_async import ObjectPath
from foxapi_async.cli.places import folder_of, place_of, records_of
from tests.cli.process import foxapi, running
from tests.s3 import Bucket, s3_proxy

pytestmark = [pytest.mark.ordinary_loop, pytest.mark.much, pytest.mark.once]


def settings(state: Path, endpoint: str | None = None) -> dict[str, str]:
    names = [name for name in os.environ if name.startswith("AWS_")]
    found = {name: os.environ[name] for name in names} | {"XDG_STATE_HOME": str(state)}
    return found | ({} if endpoint is None else {"AWS_ENDPOINT_URL": endpoint})


async def test_a_run_that_is_killed_during_an_upload_is_continued(
    emulated, bucket: Bucket, tmp_path: Path
):
    jobs, stuck = tmp_path / "jobs.jsonl", anyio.Event()
    jobs.write_text("".join(json.dumps({"prompt": key, "key": key}) + "\n" for key in "abc"))

    async def hang(request: web.Request) -> web.StreamResponse:
        await request.content.read(100)
        stuck.set()
        await anyio.sleep(1000)
        return web.Response()

    async with emulated() as (emulator, base), s3_proxy(bucket.server) as proxy:
        run = ["run", str(jobs), "-o", f"{bucket.url}/night", "--yes"]
        # The check whether the store can be written, one picture, and then nothing more.
        proxy.script["PUT"] = [None, None, hang, hang]
        broken = base | settings(tmp_path, proxy.url)
        async with running(*run, env=broken) as command:
            with anyio.fail_after(60):
                await stuck.wait()
            command.interrupt(signal.SIGKILL)
            command.process.wait()
        assert len(bucket.objects()) <= 2
        env = base | settings(tmp_path)
        done = await foxapi(*run, "--no-sheet", env=env)
        assert done.code == 0, done.err
        assert done.lines == [f"{bucket.url}/night/{n}" for n in ("results.jsonl", "results.csv")]
        assert f"the records of the job are in {tmp_path}/foxapi/jobs/" in done.err
        assert emulator.counters.images_billed == 3
        names = ["a.png", "b.png", "c.png", "records.json", "results.csv", "results.jsonl"]
        assert bucket.objects() == [f"night/{name}" for name in names]
        told = await foxapi("status", f"{bucket.url}/night/", env=env)
        assert (told.code, "100 %" in told.out) == (0, True)


def test_places_of_commands():
    assert place_of("s3://bucket/a") == ObjectPath("s3://bucket/a")
    assert (place_of("out"), records_of("out"), folder_of("out")) == (Path("out"),) * 3
    assert records_of("s3://bucket/a").name.startswith("bucket-a-")
    for parse, given in ((place_of, "http://bucket/a"), (folder_of, "s3://bucket/a")):
        with pytest.raises(typer.BadParameter):
            parse(given)
