from hypothesis import given
from hypothesis import strategies as st

from recsys.seeds import seed_for

roots = st.integers(0, 2**40)
keys = st.lists(st.text(max_size=8) | st.integers(0, 1000), max_size=3)


@given(roots, keys)
def test_the_same_root_and_name_give_the_same_seed_that_fits_31_bits(root: int, name) -> None:
    assert seed_for(root, *name) == seed_for(root, *name)
    assert 0 <= seed_for(root, *name) < 2**31


def test_seeds_differ_by_root_by_name_by_order_and_by_depth() -> None:
    several = [
        seed_for(0, "split", "test"),
        seed_for(1, "split", "test"),
        seed_for(0, "split", "validation"),
        seed_for(0, "test", "split"),
        seed_for(0, "split"),
        seed_for(0, "split", "test", 0),
        seed_for(0, "split", "test", 1),
        seed_for(0, "splittest"),
        seed_for(0),
    ]

    assert len(set(several)) == len(several)


def test_trials_get_seeds_that_do_not_collide() -> None:
    assert len({seed_for(0, "trial", number) for number in range(2_000)}) == 2_000


def test_a_seed_is_the_same_in_every_process_and_version() -> None:
    """np.random.SeedSequence(42, spawn_key=(crc32(b"split"), 7)), its first word, 31 bits."""
    assert seed_for(42, "split", 7) == 1_119_931_467
