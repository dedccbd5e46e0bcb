"""Seeds derived from one root seed and the names of their use."""

from binascii import crc32

import numpy as np


def seed_for(root: int, *keys: str | int) -> int:
    """A 31-bit seed that depends on `root` and every key alone.

    A new use does not change the seeds of the others (NumPy's SeedSequence with a spawn key
    made of the CRC-32 of each name). 31 bits, because implicit and Optuna take signed seeds.
    """
    spawn_key = tuple(key if isinstance(key, int) else crc32(key.encode()) for key in keys)
    state = np.random.SeedSequence(root, spawn_key=spawn_key).generate_state(1)[0]
    return int(state) & 0x7FFF_FFFF
