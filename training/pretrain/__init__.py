"""Pretraining of the base that ships: corpus to clean text, text to tokens, tokens to weights.

Its own package since nothing that a user runs needs it: fine-tuning, sampling and scoring import nothing from here.
"""
