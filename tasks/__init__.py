"""Prefect tasks: load, call one recsys function, store. One outside system behind one door."""
