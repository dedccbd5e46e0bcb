"""The library for a notebook: a log, its split, a fitted model, its figures.

log.py       a file or a frame to a log that can be filtered and split
fitted.py    a model, its lists as frames
judged.py    what models are worth, with intervals
tuned.py     a search, and the curve of a training
"""
