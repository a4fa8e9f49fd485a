"""Create embedded collections."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiqa_integrations.errors import StoreError
from multiqa_integrations.qdrant.edge import files
from multiqa_integrations.qdrant.edge.engine import RESERVE_BYTES, engine_errors, opening

if TYPE_CHECKING:
    import qdrant_edge


def create(directory: Path, description: dict[str, Any], config: qdrant_edge.EdgeConfig) -> bool:
    """Create a collection; return whether this call did it, and not somebody else.

    It is made beside its place and moved there whole.
    """
    import qdrant_edge

    making = directory.parent / f".new-{uuid.uuid4().hex}"
    description = {**description, "format": 1, "shard": "shard-1"}
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        files.check_room(directory.parent, RESERVE_BYTES)
        making.mkdir()
        (making / "shard-1").mkdir()
        with engine_errors("create", directory), opening:
            qdrant_edge.EdgeShard.create(str(making / "shard-1"), config).close()
        files.write_description(making, description)
        return _move(making, directory)
    except OSError as error:
        raise StoreError(
            f"the collection cannot be created in {directory} ({error}). Give another path, make "
            "that one writable, or make room."
        ) from error
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _move(making: Path, directory: Path, tries: int = 3) -> bool:
    """Move a new collection to its place; return False where somebody else's stands there."""
    try:
        making.rename(directory)
    except OSError:
        if files.exists(directory):
            return False
        if tries == 1 or directory.exists():
            raise
        return _move(making, directory, tries - 1)  # what stood there was dropped meanwhile
    return True
