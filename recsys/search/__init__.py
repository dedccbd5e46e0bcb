"""Search spaces, curves along a training, pruning."""
