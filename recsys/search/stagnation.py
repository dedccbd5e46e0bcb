"""When more trials no longer pay: so many in a row brought no new best."""

from collections.abc import Mapping


def stops_at(values: Mapping[int, float | None], patience: int) -> int | None:
    """How many trials a search ends with; None where it goes on.

    The trials are taken by their slots, not by the time at which they ended, so an interrupted
    search ends where an undisturbed one does.

    Args:
        values: Slot to the value of each ended trial, more is better; None where it was pruned or
            failed. Slots behind one that has not ended do not count.
        patience: Trials in a row without a new best after which the search ends.
    """
    best, best_slot = None, -1
    for slot in range(len(values)):
        if slot not in values:
            return None
        value = values[slot]
        if value is not None and (best is None or value > best):
            best, best_slot = value, slot
        if best is not None and slot - best_slot >= patience:
            return slot + 1
    return None
