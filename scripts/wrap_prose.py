#!/usr/bin/env python3
"""Wraps the prose of Markdown pages at 100 characters, in place. Code, tables, headings and pictures stay as they are.

    scripts/wrap_prose.py PAGE...

Prints the lines that remain too long: a link or a path that cannot be broken. Needs Python 3 and nothing else.
"""
import pathlib
import re
import sys
import textwrap

WIDTH = 100
ITEM = re.compile(r"^\s*([-*]|\d+\.) ")
MARKER = re.compile(r" (?=([-+*>=#]|#+|\d+[.)]) )")  # would begin a list or a heading if it came to a line's begin
KEPT = ("#", "|", "    ", "<", "![")  # how lines begin that are no prose


def is_kept(line):
    return not line.strip() or line.startswith(KEPT) or line.lstrip().startswith("|")


def wrapped(text):
    """The text with every paragraph and list item filled to WIDTH."""
    lines, result, fenced, at = text.split("\n"), [], False, 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if line.startswith("```"):
            fenced = not fenced
        if fenced or line.startswith("```") or is_kept(line):
            result.append(line)
            continue
        item = ITEM.match(line)
        first = item.group(0) if item else re.match(r" *", line).group(0)
        parts = [line[len(first):].strip()]
        while at < len(lines) and lines[at].strip() and not ITEM.match(lines[at]) and not lines[at].startswith("```") and (
                item or not is_kept(lines[at])) and not lines[at].lstrip().startswith(("|", "#", "<", "![")):
            parts.append(lines[at].strip())
            at += 1
        filled = textwrap.wrap(MARKER.sub("\0", " ".join(parts)), width=WIDTH, initial_indent=first,
                               subsequent_indent=" " * len(first), break_long_words=False, break_on_hyphens=False)
        result += [part.replace("\0", " ") for part in filled]
    return "\n".join(result)


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    for name in sys.argv[1:]:
        page = pathlib.Path(name)
        text = wrapped(page.read_text(encoding="utf-8"))
        page.write_text(text, encoding="utf-8")
        for number, line in enumerate(text.split("\n"), 1):
            if len(line) > WIDTH and not is_kept(line):
                print(f"{name}:{number}: {len(line)} characters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
