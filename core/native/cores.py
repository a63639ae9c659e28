"""The processor's cores. Imports nothing that starts threads, for those who ask before NumPy is loaded."""

import os


def allowed_cores() -> list[int]:
    """Numbers of those that this process may run on, ascending; all there are where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
