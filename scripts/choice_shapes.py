#!/usr/bin/env python3
"""Writes sweep files of shapes that no table has: what the model of `auto` is fitted to and judged by (docs/choice.md).

    python3 scripts/choice_shapes.py DIR [--shapes 420] [--parts 2]

Shapes fill log M from 1 to 32768 and N evenly (a low-discrepancy sequence): seven of ten N are widths of models, the
others are odd or lie anywhere from 64 to 131072. Each shape is timed in three forms, in turn. A part is a sweep file
for one GPU; its order is random, so that a part that is cut off is a smaller sample of the same kind.
"""
import argparse
import json
import pathlib
import random

WIDTHS = [256, 384, 512, 768, 1024, 1152, 1280, 1536, 1600, 1792, 2048, 2304, 2560, 2816, 2880, 3072, 3200, 3584, 3840, 4096,
          4608, 5120, 5376, 5632, 6144, 6656, 6912, 7168, 7680, 8192, 8960, 9216, 9728, 10240, 11008, 12288, 13696, 13824,
          14336, 15360, 16384, 18432, 18944, 20480, 22016, 24576, 27648, 28672, 32768, 36864, 49152, 53248, 65536]
FORWARD = ['rms', 'rms+residual', 'layer', 'codes']
BACKWARD = ['rms', 'rms+dresidual', 'layer', 'rms+no_out']
MOST_ELEMENTS = 80 << 20  # 160 MiB a tensor of 16 bits; one in four of the larger ones stays, up to 256 Mi elements


def columns_at(share, kind, rng):
    """N: a width of a model, an odd one near such a width, or anything from 64 to 131072 that 8 divides."""
    if kind < 7:
        return WIDTHS[int(share * len(WIDTHS))]
    if kind == 9:
        return max(64, int(64 * 2 ** (11 * share)) // 8 * 8)
    return max(65, WIDTHS[int(share * len(WIDTHS))] + rng.choice([-1, 1, -3, 3, 5, -7, 2, 4, -2, rng.randrange(1, 200)]))


def shapes(count, rng):
    """Distinct (M, N), in the order of the sequence."""
    found, i, large = {}, 0, 0
    while len(found) < count:
        i += 1
        across, along = (0.5 + i * 0.7548776662466927) % 1, (0.5 + i * 0.5698402909980532) % 1
        rows = round(2 ** (15 * across))
        if rows > 24 and i % 3 == 0:
            rows = 1 << round(15 * across)
        columns = columns_at(along, i % 10, rng)
        if rows * columns > MOST_ELEMENTS:
            large += 1
            if large % 4 != 0 or rows * columns > 256 << 20:
                continue
        found.setdefault((rows, columns), len(found))
    return list(found)


def groups(count, rng):
    """A group a shape and operation; forms in turn, so that each is timed as often as the others."""
    made = []
    for at, (rows, columns) in enumerate(shapes(count, rng)):
        text = f'{rows}x{columns}'
        forward = [FORWARD[at % 4], FORWARD[(at + 1 + at // 4 % 3) % 4]][:1 + at % 2]
        backward = [BACKWARD[at // 2 % 4], BACKWARD[(at // 2 + 1 + at // 8 % 3) % 4]][:2 - at % 2]
        made.append([{'op': 'forward', 'shapes': [text], 'forms': forward},
                     {'op': 'backward', 'shapes': [text], 'forms': backward}])
    rng.shuffle(made)
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('dir', type=pathlib.Path)
    parser.add_argument('--shapes', type=int, default=420)
    parser.add_argument('--parts', type=int, default=2)
    asked = parser.parse_args()
    rng = random.Random(1)
    made = groups(asked.shapes, rng)
    asked.dir.mkdir(parents=True, exist_ok=True)
    for part in range(asked.parts):
        cases = [group for pair in made[part::asked.parts] for group in pair]
        document = {'name': f'unseen_{part}', 'about': 'shapes that no table has, in forms by turns', 'cases': cases}
        (asked.dir / f'unseen_{part}.json').write_text(json.dumps(document) + '\n')


if __name__ == '__main__':
    main()
