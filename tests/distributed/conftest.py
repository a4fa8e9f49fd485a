"""Workers for the tests of this folder: within this process, and on a small cluster of Ray."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multiqa_integrations.distributed import opening, splits
from tests.support.in_process_pool import InProcessPool

TOP = Path(__file__).parent.parent.parent
STORE_BYTES = 80_000_000


class Nodes:
    """Nodes of a cluster, of which a test may take some away.

    Attributes:
        address: Where the cluster is.
    """

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self.address: str = cluster.address

    def add(self) -> Any:
        return self._cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)

    def remove(self, node: Any) -> None:
        self._cluster.remove_node(node, allow_graceful=False)


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> InProcessPool:
    """Workers within this process, which get small parts in an order of chance."""
    monkeypatch.setattr(splits, "BYTES", 300)
    monkeypatch.setattr(splits, "LEAST_BYTES", 300)
    found = InProcessPool(seed=3)
    monkeypatch.setattr(opening, "pool_of", lambda cluster: found)
    return found


@pytest.fixture(scope="session")
def nodes() -> Iterator[Nodes]:
    """Three nodes of one processor each; nothing of them is left afterwards."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    environment = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_prestart_worker_first_driver": "0",
        "PYTHONPATH": f"{TOP}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "PYTHONWARNINGS": "ignore",
    }
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    import ray
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    # Where Ray notes the address of any cluster; it takes the folder for granted.
    (Path(tempfile.gettempdir()) / "ray").mkdir(exist_ok=True)
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 1,
            "object_store_memory": STORE_BYTES,
            "include_dashboard": False,
            "temp_dir": folder,
        },
    )
    try:
        found = Nodes(cluster)
        found.add()
        found.add()
        yield found
    finally:
        ray.shutdown()
        cluster.shutdown()  # type: ignore[no-untyped-call]
        shutil.rmtree(folder, ignore_errors=True)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
