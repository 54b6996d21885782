"""A PNG with a palette of 256 colours made of one with 24 bits a pixel: pictures of pages need a third of the bytes then.

Reads what a browser's screenshots are (8 bits, RGB or RGBA, not interlaced); standard library only.
"""
import collections
import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunks_of(data):
    """(type, content) of every chunk."""
    at = len(SIGNATURE)
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        yield kind, data[at + 8:at + 8 + length]
        at += 12 + length


def nearest_neighbour(left, up, corner):
    """The Paeth predictor."""
    estimate = left + up - corner
    distances = [abs(estimate - left), abs(estimate - up), abs(estimate - corner)]
    return (left, up, corner)[distances.index(min(distances))]


def unfiltered(kind, line, above, step):
    """The bytes of a line; `step` bytes a pixel."""
    line = bytearray(line)
    if kind == 2:
        return bytearray((value + up) & 255 for value, up in zip(line, above))
    for i, value in enumerate(line):
        left, up, corner = (line[i - step] if i >= step else 0), above[i], (above[i - step] if i >= step else 0)
        if kind == 1:
            line[i] = (value + left) & 255
        elif kind == 3:
            line[i] = (value + (left + up) // 2) & 255
        elif kind == 4:
            line[i] = (value + nearest_neighbour(left, up, corner)) & 255
    return line


def pixels_of(data):
    """(width, lines): each line a list of 3 bytes a pixel."""
    header, packed = None, b""
    for kind, content in chunks_of(data):
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", content)
        elif kind == b"IDAT":
            packed += content
    width, height, bits, colour, _, _, interlaced = header
    if bits != 8 or colour not in (2, 6) or interlaced:
        raise ValueError("not an 8-bit RGB picture")
    step = 3 if colour == 2 else 4
    raw, size = zlib.decompress(packed), width * step
    lines, above = [], bytearray(size)
    for row in range(height):
        at = row * (size + 1)
        above = unfiltered(raw[at], raw[at + 1:at + 1 + size], above, step) if raw[at] else bytearray(raw[at + 1:at + 1 + size])
        lines.append([bytes(above[i:i + 3]) for i in range(0, size, step)])
    return width, lines


def palette_index(lines):
    """(palette, {colour: index}): the 256 most frequent colours; every other takes the nearest of them."""
    frequent = collections.Counter(colour for line in lines for colour in line).most_common()
    palette = [colour for colour, _ in frequent[:256]]
    index = {colour: i for i, colour in enumerate(palette)}
    for colour, _ in frequent[256:]:
        index[colour] = min(range(len(palette)), key=lambda i: sum((a - b) ** 2 for a, b in zip(palette[i], colour)))
    return palette, index


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_palette(data):
    """The same picture in 256 colours."""
    width, lines = pixels_of(data)
    palette, index = palette_index(lines)
    rows = b"".join(b"\0" + bytes(index[colour] for colour in line) for line in lines)
    return (SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(lines), 8, 3, 0, 0, 0)) +
            chunk(b"PLTE", b"".join(palette)) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))
