"""The library's messages in the words of the command line. Knows a command's options; no command in particular."""

from __future__ import annotations

import re
from collections.abc import Mapping


def with_flags(message: str, flags: Mapping[str, str]) -> str:
    """A message in which arguments are named as options.

    The library writes an argument as `name=` or, where its name holds an underscore and so is no English word, as it
    stands. Paths are left alone.

    Args:
        message: of an error.
        flags: name of an argument to the option that sets it.

    >>> flags = {"max_pixels": "--max-pixels", "dtype": "--dtype"}
    >>> with_flags("lower max_pixels, or try dtype='float32'; the dtype of data/max_pixels.csv is fine", flags)
    "lower --max-pixels, or try --dtype 'float32'; the dtype of data/max_pixels.csv is fine"
    >>> with_flags("a budget is set with max_pixels=, and needs max_pixels.", flags)
    'a budget is set with --max-pixels, and needs --max-pixels.'
    """
    for name, flag in flags.items():
        start = rf"(?<![\w/.-]){re.escape(name)}"
        message = re.sub(rf"{start}=(?=[\w'\"])", f"{flag} ", message)
        message = re.sub(rf"{start}=", flag, message)
        if "_" in name:
            message = re.sub(rf"{start}(?!\.?\w|/)", flag, message)
    return message
