"""A driver for tests to kill: python a_driver.py ADDRESS URL COLLECTION SOURCE FOLDER."""

from __future__ import annotations

import sys

from multiqa_integrations import distributed
from multiqa_integrations.distributed import splits
from tests.distributed.slow_encoder import SlowEncoder

if __name__ == "__main__":
    address, url, collection, source, folder = sys.argv[1:]
    splits.BYTES = splits.LEAST_BYTES = 20_000
    distributed.sync(
        source, collection, url=url, address=address, workers=2, encoder=SlowEncoder(folder)
    )
