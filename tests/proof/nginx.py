"""An nginx in front of the emulator, with a configuration of its own in a temporary folder."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import attrs

PATH = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin{os.pathsep}/usr/local/sbin"
PROGRAM = shutil.which("nginx", path=PATH)

_CONFIGURATION = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    {http}
    server {{
        listen 127.0.0.1:{port};
        {server}
        location = /v1/images/generations {{
            {submit}
            proxy_pass {upstream};
        }}
        location /v1/tasks/ {{
            {poll}
            proxy_pass {upstream};
        }}
        location / {{
            proxy_pass {upstream};
        }}
    }}
}}
"""


@attrs.define
class Nginx:
    """A running nginx; `configure` changes its configuration."""

    upstream: str
    folder: Path
    port: int
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def configure(
        self, *, http: str = "", server: str = "", submit: str = "", poll: str = ""
    ) -> None:
        """Write the configuration, and have a running nginx reload it."""
        text = _CONFIGURATION.format(
            # Its workers must be able to enter the folder, which belongs to the user of the tests.
            user="user root;" if os.getuid() == 0 else "",
            folder=self.folder,
            port=self.port,
            upstream=self.upstream,
            http=http,
            server=server,
            submit=submit,
            poll=poll,
        )
        (self.folder / "nginx.conf").write_text(text, encoding="utf-8")
        if self.process is not None:
            self.process.send_signal(signal.SIGHUP)  # as `nginx -s reload`


@asynccontextmanager
async def open_nginx(upstream: str, folder: Path, **parts: str) -> AsyncIterator[Nginx]:
    """Run nginx before ``upstream``; ``parts`` are lines of its configuration."""
    assert PROGRAM is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nginx = Nginx(upstream, folder, free.getsockname()[1])
    nginx.configure(**parts)
    log = folder / "error.log"
    nginx.process = process = await asyncio.create_subprocess_exec(
        *(PROGRAM, "-e", str(log), "-p", str(folder), "-c", str(folder / "nginx.conf")),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(10):
            while not await _listens(nginx.port):
                assert process.returncode is None, log.read_text()
                await asyncio.sleep(0.02)
        yield nginx
    finally:
        if process.returncode is None:
            process.terminate()  # closes all connections at once
        await process.wait()


async def _listens(port: int) -> bool:
    with suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True
    return False
