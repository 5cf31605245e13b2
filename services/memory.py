"""How a service's memory is set up for its kind of work: batches of megabytes and of tens of thousands of objects."""

import ctypes
import gc

GC_THRESHOLD = (20_000, 20, 20)
"""A batch is tens of thousands of objects without cycles: Python's own thresholds look through them again and again."""
MAPPED_SIZE_MIN = 256 * 1024
_M_MMAP_THRESHOLD = -3
"""`M_MMAP_THRESHOLD` of glibc's malloc.h."""


def settle() -> None:
    """Call once when everything is loaded, before the first batch.

    What is loaded by now stays for good, so no later collection looks at it again. Blocks of a batch's size are mapped
    one by one and go back to the system when freed; glibc raises the size from which it does so with every such block
    that is freed (mallopt(3)), and then memory grows with a backlog. Other C libraries are left as they are.
    """
    gc.set_threshold(*GC_THRESHOLD)
    gc.collect()
    gc.freeze()
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, MAPPED_SIZE_MIN)
