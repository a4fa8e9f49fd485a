"""An encoder that takes its time, and leaves a note of the process that it works in."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from multiqa_integrations.testing import FakeEncoder
from multiqa_integrations.types import Vectors


class SlowEncoder(FakeEncoder):
    """Encodes so many seconds a batch; each process that does makes a file in a folder."""

    def __init__(self, folder: str, seconds: float = 0.3) -> None:
        super().__init__()
        self.folder, self.seconds = folder, seconds

    def encode_document(self, texts: Sequence[str], *, show_progress: bool = False) -> Vectors:
        (Path(self.folder) / str(os.getpid())).touch()
        time.sleep(self.seconds)
        return super().encode_document(texts)


class ElsewhereEncoder(FakeEncoder):
    """What other nodes have other weights of."""

    def __reduce__(self) -> Any:
        return FakeEncoder, (1,)
