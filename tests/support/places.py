"""Where the tests' temporary folders are: in memory, if there is room. Making three hundred partitions takes a broker
four seconds on a disk and half of one there. A kill -9 leaves as much behind in either place; a power cut would not."""

import os
import shutil
from pathlib import Path

import psutil
from hypothesis import HealthCheck, settings

# Tests run beside others on machines of any speed: how long an example took says nothing about the code.
settings.register_profile("penstock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("penstock")

_MEMORY = Path("/dev/shm")
_ROOM = 4 * 1024**3


def pytest_configure() -> None:
    """Give pytest the folder in memory as the root of its temporary ones, unless somebody has named one."""
    if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK):
        room = min(shutil.disk_usage(_MEMORY).free, psutil.virtual_memory().available)
        if room >= _ROOM:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))
