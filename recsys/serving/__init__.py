"""Served models: recommendations, similar items, explanations, published lists, packages."""
