"""Inner loops compiled by numba, each beside a slow reference in its test.

Compiled once for each installation, see `recsys.kernels.compiler`, whose njit all of them use.
"""
