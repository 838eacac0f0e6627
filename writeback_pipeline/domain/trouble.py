"""Errors that were foreseen: their message is all that a person needs, wherever they are met."""

from typing import ClassVar


class Trouble(Exception):
    """Says what is wrong, where, and what to do; `passing` whether it may be over by itself at the next try."""

    passing: ClassVar[bool] = False
