"""Counting of the Python operations of a function, to compare costs without a clock."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


__all__ = ["assert_linear", "operations"]


def operations(function: Callable[[], object]) -> int:
    """Call a function; return how many bytecode instructions of Palan it executed."""
    count = 0

    def local(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "opcode"
        return local

    def trace(frame: FrameType, _event: str, _argument: Any) -> Any:
        if "/palan/" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return local

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count


def assert_linear(prepare: Callable[[int], Callable[[], object]], size: int) -> None:
    """Check that the cost of a function grows no faster than its input.

    Args:
        prepare: returns the function for an input of a size.
        size: the smaller size; the larger one is four times that.
    """
    small, large = (operations(prepare(number)) for number in (size, 4 * size))
    assert large < 4.5 * small, f"{small} operations for {size}, {large} for {4 * size}"
