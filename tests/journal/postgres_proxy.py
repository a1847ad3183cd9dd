"""A TCP proxy in front of PostgreSQL that loses what it is told to lose."""

from __future__ import annotations

import enum
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Loss(enum.Enum):
    NOTHING = enum.auto()
    COMMIT = enum.auto()
    """Cut the connection instead of forwarding the next commit."""
    ANSWER = enum.auto()
    """Forward the next commit, and cut the connection instead of forwarding its answer."""


class Proxy:
    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._links: list[tuple[socket.socket, socket.socket]] = []
        self._stalled: set[socket.socket] = set()
        self._unanswered: set[socket.socket] = set()
        self.loss = Loss.NOTHING
        self.lost = threading.Event()
        """Set when something was lost."""
        threading.Thread(target=self._accept, daemon=True).start()

    def dsn(self, options: str = "") -> str:
        port = self._listener.getsockname()[1]
        return f"postgresql://postgres@127.0.0.1:{port}/postgres{options}"

    def stall(self) -> None:
        self._stalled.update(end for link in self._links for end in link)

    def refuse(self) -> None:
        """Take no new connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def cut(self) -> None:
        for link in self._links:
            self._close(link)
        self._links.clear()

    def close(self) -> None:
        self.refuse()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(self._target)
                except OSError:
                    client.close()
                    continue
                link = (client, server)
                self._links.append(link)
                for source, sink in (link, link[::-1]):
                    arguments = (link, source, sink, source is client)
                    threading.Thread(target=self._forward, args=arguments, daemon=True).start()

    def _forward(self, link, source: socket.socket, sink: socket.socket, is_client: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if source in self._stalled:
                    continue
                if is_client and b"COMMIT\0" in data and self.loss is not Loss.NOTHING:
                    loss, self.loss = self.loss, Loss.NOTHING
                    self.lost.set()
                    if loss is Loss.COMMIT:
                        break
                    self._unanswered.add(link[1])
                if source in self._unanswered:  # the server has committed by now
                    break
                sink.sendall(data)
        self._close(link)

    def _close(self, link: tuple[socket.socket, socket.socket]) -> None:
        for end in link:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def proxy_of(port: int) -> Iterator[Proxy]:
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
