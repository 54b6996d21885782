"""The console entry `normquant`: becomes the program that the wheel brings."""

import os
import sys
from pathlib import Path


def program() -> Path:
    """The path of the native program."""
    return Path(__file__).parent / "bin" / "normquant"


def main() -> None:
    path = program()
    os.execv(path, ["normquant", *sys.argv[1:]])
