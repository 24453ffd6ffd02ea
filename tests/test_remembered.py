"""Vectors are computed once for as long as there is room, and however many are asked for at once."""

import numpy as np

from inference.remembered import Remembered


def test_nothing_is_computed_twice_while_there_is_room() -> None:
    asked: list[str] = []

    def lengths(texts):
        asked.extend(texts)
        return np.array([[len(text)] for text in texts])

    remembered = Remembered(lengths, at_most=2)
    for _ in range(2):
        assert remembered(["a", "bb", "ccc", "a"]).tolist() == [[1], [2], [3], [1]]
    assert asked == ["a", "bb", "ccc"]  # more than there is room for, and known the second time
    assert remembered(["dddd"]).tolist() == [[4]]
    assert remembered(["dddd"]).tolist() == [[4]] and asked == ["a", "bb", "ccc", "dddd"]
