"""Weights of plays divided by powers of the sums of their users and items, as graph filters do."""

import numpy as np
from scipy.sparse import csr_matrix, diags_array

from recsys.dtypes import Float64Array


def sums(weighted: csr_matrix, axis: int) -> Float64Array:
    """Sums of the weights over users (axis 0) or over items (axis 1), float64."""
    return np.asarray(weighted.sum(axis=axis, dtype=np.float64)).ravel()


def normalized(weighted: csr_matrix, user_exponent: float) -> csr_matrix:
    """D_u^-a W D_i^(a-1), float64 CSR; a row or a column of weights of 0 stays 0.

    Args:
        weighted: W, CSR, shape (n_users, n_items), not negative.
        user_exponent: a.
    """
    of_users, of_items = sums(weighted, 1), sums(weighted, 0)
    exponents = ((of_users, -user_exponent), (of_items, user_exponent - 1))
    users, items = (
        np.power(each, power, out=np.zeros_like(each), where=each > 0) for each, power in exponents
    )
    return csr_matrix(diags_array(users) @ weighted.astype(np.float64) @ diags_array(items))
