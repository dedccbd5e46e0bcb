"""Item vectors on which the diversity of lists is measured, the same for all models.

They lie here and not with the comparison, so the fingerprint of the code that measures covers them.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.data.interactions import Interactions
from recsys.models.als import Als, AlsConfig

REFERENCE = AlsConfig(factors=64)


def reference_vectors(train: Interactions, seed: int) -> npt.NDArray[np.floating[Any]]:
    """The item factors of ALS with its default parameters and 64 factors, shape (n_items, 64)."""
    return Als(REFERENCE, seed).fit(train).item_factors
