"""A machine on which every attempt to reach the network, and every file in HOME, is noticed."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class WatchedMachine:
    """Runs programs with an empty HOME, behind a proxy that only notes who calls."""

    home: Path
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._proxy = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        self._proxy.close()

    def run(self, *command: str, offline: bool = True) -> subprocess.CompletedProcess[str]:
        names = ("CI", "HF_HOME", "NO_PROXY", "no_proxy", "XDG_CACHE_HOME")
        environment = {name: value for name, value in os.environ.items() if name not in names}
        address = f"http://127.0.0.1:{self._proxy.getsockname()[1]}"
        proxies = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
        environment |= {"HOME": str(self.home), **dict.fromkeys(proxies, address)}
        if offline:
            environment["HF_HUB_OFFLINE"] = "1"
        return subprocess.run(
            command, env=environment, cwd=self.home.parent, capture_output=True, text=True
        )

    def files_in_home(self) -> list[Path]:
        return sorted(self.home.rglob("*"))

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._proxy.accept()
            except OSError:  # closed
                return
            with connection:
                self.calls.append(connection.recv(200).decode("latin-1").partition("\r\n")[0])
