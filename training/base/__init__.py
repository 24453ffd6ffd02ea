"""Teaches a base to tell stories from a brief and its beats: stories to rows, rows to an adapter, figures of what it can do.

Its own package since fine-tuning, sampling and scoring import nothing from here.
"""
