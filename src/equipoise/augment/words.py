"""Comma-separated words that choose the parts of an augmentation."""

from collections.abc import Iterable

from ..spec import check_choice


def chosen(text: str, choices: Iterable[str], parameter: str) -> list[str]:
    """The words of `text`, each of which must be one of `choices`.

    >>> chosen("color, cutout", ["color", "translation", "cutout"], "policy")
    ['color', 'cutout']
    """
    words = [word.strip() for word in text.split(",")]
    for word in words:
        check_choice(word, [*choices], f"{parameter} has no {word!r}")
    return words
