"""Inner loops compiled by numba, each beside a slow reference in its test.

Compiled once for each machine; later processes read the result from numba's cache.
"""
