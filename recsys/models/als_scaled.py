"""Regularization scaled by frequency for ALS: lambda of each row.

Rendle, Krichene, Zhang and Koren 2021, "Revisiting the performance of iALS on item
recommendation benchmarks", regularize a user by lambda (|I_u| + alpha0 |I|)^nu and an item
alike, where alpha0 is the weight of all pairs and those observed weigh 1 more.

Their alpha0 is no parameter of ours, because it would be one twice. Dividing their loss

    sum over observed of w (1 - s)^2  +  alpha0 * sum over all of s^2  +  lambda * norms

by alpha0, and completing the square of an observed pair, leaves

    sum over observed of c (t - s)^2  +  sum over unobserved of s^2  +  lambda / alpha0 * norms

with c = 1 + w / alpha0 and t = w / (w + alpha0): our loss with alpha = 1 / alpha0, but for t. Where
all w are equal, so are all t, and factors divided by sqrt(t) have t = 1 and lambda divided by t.
So with w = 1 as in the paper alpha0 is exactly

    alpha = 1 / alpha0        regularization = lambda (1 + alpha0) / alpha0

Where an observed pair weighs alpha0 + w for a preference of 1 it is too, for any w: then t = 1
and regularization = lambda / alpha0. Both raise |I_u| + |I| / alpha to nu.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

if TYPE_CHECKING:
    from recsys.models.als import AlsConfig

Counts = npt.NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Regularization:
    """lambda by the number of cells of a row.

        lambda_u = unit * (|I_u| + |I| / alpha)^nu        lambda_i = unit * (|U_i| + |U| / alpha)^nu

    The unit makes their mean over all users and items `regularization`, whatever nu is, as
    the paper does with its lambda* for nu* = 0; else its scale would move by orders of magnitude
    with nu. Users and items without a cell have no factors and count nowhere.

    Attributes:
        unit: lambda of a row whose frequency is 1.
        nu: 0 is one lambda for all.
        users: |U| / alpha, added to the number of users of an item.
        items: |I| / alpha, added to the number of items of a user.
    """

    unit: float
    nu: float
    users: float
    items: float

    @classmethod
    def of(cls, config: "AlsConfig", train: csr_matrix) -> Self:
        """Fitted on the training matrix, shape (n_users, n_items), and valid for other rows too."""
        of_users, of_items = (counts[counts > 0] for counts in _lengths(train))
        raw = cls(1.0, config.nu, len(of_users) / config.alpha, len(of_items) / config.alpha)
        total = raw.of_users(of_users).sum() + raw.of_items(of_items).sum()
        mean = float(total) / (len(of_users) + len(of_items))
        return cls(config.regularization / mean, raw.nu, raw.users, raw.items)

    def of_users(self, counts: Counts) -> npt.NDArray[np.float64]:
        """Lambda of users by how many items they have, same shape."""
        return np.asarray(self.unit * (counts + self.items) ** self.nu)

    def of_items(self, counts: Counts) -> npt.NDArray[np.float64]:
        """Lambda of items by how many users they have, same shape."""
        return np.asarray(self.unit * (counts + self.users) ** self.nu)


def _lengths(cells: csr_matrix) -> tuple[Counts, Counts]:
    return np.diff(cells.indptr), np.bincount(cells.indices, minlength=cells.shape[1])
