#!/usr/bin/env python3
"""Plants the mutants of the lists: copies of the kernels' sources in which every planted place asks which mutant is active.

    plant.py --source DIR --out DIR --list FILE... [--mechanical FILE] [--compiled FILE...]

--source: the repository's root. --out gets kernels/ with the mutants in it, and mutant_table.cpp, which says
what they are. Only files that changed are written. docs/mutants.md describes the lists.
--mechanical: mutants as mechanical.py writes them; those whose places overlap that of a list's mutant are left out.
--compiled: the .cpp and .cu files, by their paths from the root, whose copies the build compiles.
Ends with status 2 and a sentence that names the mutant when its production text is not in the source, or not once, or in a
.cpp or .cu file that nothing compiles: nothing would run the mutant, and it would count as missed.
"""
import argparse
import dataclasses
import json
import pathlib
import re
import sys
import zlib

FOLDERS = ("kernels",)
SUFFIXES = (".cu", ".cuh", ".h", ".hpp", ".cpp")
OPERATIONS = ("norm_quant_forward", "norm_quant_backward", "activation_quant", "weight_quant", "bit_linear_forward",
              "bit_linear_backward")


class Refusal(Exception):
    """A list that cannot be planted; the sentence says which mutant and why."""


@dataclasses.dataclass
class Mutant:
    name: str
    kind: str  # its class
    file: str
    where: str  # list and line, for sentences
    after: str = ""  # the place is the first one behind this text
    production: str = ""
    planted: str = ""
    shows: list = dataclasses.field(default_factory=list)  # (operation, expression for variants)
    devices: str = "host gpu"
    equivalent: str = ""
    span: tuple = ()  # of a mechanical mutant: its place,
    number: int = 0  # a number of its own, the mutants of a place in a row,
    site: int = 0  # that of its place's first mutant,
    function: str = ""

    def identity(self):
        """A number of its own; of a list's mutant one that does not change when others are added, and never 0."""
        return self.number or zlib.crc32(self.name.encode()) | 1


def refuse(mutant, sentence):
    raise Refusal(f"{mutant.where}: mutant {mutant.name}: {sentence}")


def read_list(path):
    """The mutants of one list, in its order."""
    mutants, file, current = [], "", None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        where = f"{path.name}:{number}"
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if text.startswith("[") and not line.startswith(" "):
            file = text.strip("[]")
            continue
        if not line.startswith(" "):
            name, colon, kind = text.partition(":")
            if not colon or not re.fullmatch(r"[a-z0-9_]+", name):
                raise Refusal(f"{where}: expected 'name: class', found '{text}'")
            if not file:
                raise Refusal(f"{where}: mutant {name}: no [file] before it")
            current = Mutant(name, kind.strip(), file, where)
            mutants.append(current)
            continue
        if current is None:
            raise Refusal(f"{where}: '{text}' belongs to no mutant")
        word, _, rest = text.partition(" ")
        rest = rest.strip()
        if word == "@":
            current.after = rest
        elif word == "-":
            current.production += ("\n" if current.production else "") + rest
        elif word == "+":
            current.planted += ("\n" if current.planted else "") + rest
        elif word == "shows":
            operation, _, variants = rest.partition(" ")
            if operation not in OPERATIONS:
                refuse(current, f"there is no operation '{operation}'")
            current.shows.append((operation, variants.strip() or ".*"))
        elif word == "on":
            if rest not in ("host", "gpu", "watched"):
                refuse(current, f"'on {rest}': it must be host, gpu or watched")
            current.devices = rest
        elif word == "equivalent":
            current.equivalent += (" " if current.equivalent else "") + rest
        else:
            refuse(current, f"'{word}' is no word of a list; there are @ - + shows on equivalent")
    for mutant in mutants:
        if not mutant.production or not mutant.shows:
            refuse(mutant, "needs a production text (-) and where it shows (shows)")
    return mutants


def read_mechanical(path):
    """The mutants that mechanical.py wrote, numbered by their lines; those that do not compile are passed over."""
    mutants = []
    for number, record in enumerate(map(json.loads, path.read_text().splitlines() if path else []), 1):
        if not record.get("compiles", True):
            continue
        mutants.append(Mutant(record["name"], record["kind"], record["file"], f"{path.name}: {record['file']}",
                              production=record["production"], planted=record["planted"],
                              shows=[(operation, ".*") for operation in record["operations"]], devices="host",
                              span=(record["begin"], record["end"]), function=record["function"], number=number))
    for before, mutant in zip([None, *mutants], mutants):
        same = before and (before.file, before.span) == (mutant.file, mutant.span)
        mutant.site = before.site if same else mutant.number
    return mutants


def without_overlaps(mechanical, listed, sources):
    """Those whose places lie apart from, or within, or around those of the lists' mutants."""
    taken = {}
    for mutant in listed:
        taken.setdefault(mutant.file, []).append(place_of(mutant, sources[mutant.file]))

    def overlaps(one, other):
        return one[0] < other[0] < one[1] < other[1] or other[0] < one[0] < other[1] < one[1]

    return [m for m in mechanical if not any(overlaps(m.span, place) for place in taken.get(m.file, ()))]


def expression_of(text):
    """Finds `text` whatever its line breaks and indentation."""
    return re.compile(r"\s+".join(re.escape(part) for part in text.split()))


def place_of(mutant, source):
    """First and last character of the mutant's production text."""
    if mutant.span:
        if source[slice(*mutant.span)] != mutant.production:
            refuse(mutant, "was made of another state of the file: run mechanical.py again")
        return mutant.span
    start = 0
    if mutant.after:
        anchor = expression_of(mutant.after).search(source)
        if not anchor:
            refuse(mutant, f"{mutant.file} no longer has '{mutant.after}', behind which its place is")
        start = anchor.end()
    found = [match.span() for match in expression_of(mutant.production).finditer(source, start)]
    if not found:
        refuse(mutant, f"{mutant.file} no longer has '{mutant.production}': change the mutant with the kernel, or take it "
                       "out of the list")
    if len(found) > 1 and not mutant.after:
        refuse(mutant, f"{mutant.file} has '{mutant.production}' {len(found)} times: say behind what by an @ line")
    return found[0]


def planted_text(mutants, original, statement):
    """The text of a place: what each mutant makes of it, and what it is in production. Each is on a line of its own, by which
    a compiler's message names it."""
    listed = [m for m in mutants if not m.number]
    mechanical = sorted((m for m in mutants if m.number), key=lambda m: m.number)

    def asks(mutant):
        return f"normquant::mutants::mutant_is({mutant.identity():#x}U)"

    if statement:
        text = "".join(f"if ({asks(m)}) {{ {m.planted or ';'} }} else " for m in listed)
        if mechanical:
            first = mechanical[0]
            text += f"if (normquant::mutants::mutated_at({first.number}U, 1U)) {{ {first.planted or ';'} }} else "
        return f"{{ {text}{{ {original} }} }}"
    text = "".join(f"{asks(m)} ? ({m.planted}) : " for m in listed)
    if mechanical:
        first, last = mechanical[0], mechanical[-1]
        chosen = "".join(f"\n/*{m.number}*/ {asks(m)} ? ({m.planted}) : " for m in mechanical[:-1])
        text += f"normquant::mutants::mutated_at({first.number}U, {last.number - first.number + 1}U) ? ({chosen}"
        text += f"\n/*{last.number}*/ ({last.planted})) :\n/*0*/"
    return f"({text}({original}))"


def plant(mutants, source):
    """`source` with all mutants in it. Places may lie inside each other."""
    places = {}
    for mutant in mutants:
        places.setdefault(place_of(mutant, source), []).append(mutant)

    def rewritten(begin, end, inside):
        """source[begin:end] with the places of `inside`, sorted, outer ones before those in them."""
        text, at = "", begin
        while inside:
            first, last = inside[0]
            within = [place for place in inside[1:] if place[0] < last]
            for place in within:
                if place[1] > last:
                    refuse(places[place][0], f"its place overlaps that of {places[inside[0]][0].name}")
            statement = source[first:last].endswith(";")
            text += source[at:first] + planted_text(places[inside[0]], rewritten(first, last, within), statement)
            at, inside = last, inside[1 + len(within):]
        return text + source[at:end]

    order = sorted(places, key=lambda place: (place[0], -place[1]))
    return '#include "tests/mutants/active.hpp"\n' + rewritten(0, len(source), order)


def literal(text):
    """`text` as a C++ string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def shortened(text):
    return text if len(text) <= 160 else text[:150] + " ..."


def table(mutants, sources):
    """mutant_table.cpp."""
    rows = []
    for m in mutants:
        line = sources[m.file][: place_of(m, sources[m.file])[0]].count("\n") + 1
        shows = ", ".join(f"{{{literal(operation)}, {literal(variants)}}}" for operation, variants in m.shows)
        on = f"{str('host' in m.devices).lower()}, {str('gpu' in m.devices).lower()}"
        rows.append(f"      {{{m.identity():#x}U, {literal(m.name)}, {literal(m.kind)}, {literal(m.file)}, {line}, "
                    f"{literal(shortened(m.production))}, {literal(shortened(m.planted))}, {{{shows}}}, {on}, {literal(m.equivalent)}, "
                    f"{m.site}U, {literal(m.function)}}},\n")
    return ('#include "tests/mutants/mutant.hpp"\n'
            "const std::vector<normquant::mutants::Mutant>& normquant::mutants::all_mutants() {\n"
            "  static const std::vector<Mutant> mutants = {\n" + "".join(rows) + "  };\n  return mutants;\n}\n")


def write_if_changed(path, text):
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--list", type=pathlib.Path, nargs="*", default=[])
    parser.add_argument("--mechanical", type=pathlib.Path)
    parser.add_argument("--compiled", nargs="+")
    options = parser.parse_args()
    mutants = [mutant for path in options.list for mutant in read_list(path)]
    mechanical = read_mechanical(options.mechanical)
    named = {}
    for mutant in mutants:
        if named.setdefault(mutant.identity(), mutant) is not mutant:
            refuse(mutant, f"it has the number of {named[mutant.identity()].name}: choose another name")
    sources = {}
    for folder in FOLDERS:
        for path in sorted((options.source / folder).rglob("*")):
            if path.suffix in SUFFIXES:
                sources[path.relative_to(options.source).as_posix()] = path.read_text()
    wrong = []
    for mutant in mutants:
        try:
            if mutant.file not in sources:
                refuse(mutant, f"there is no file {mutant.file}")
            is_header = mutant.file.endswith((".h", ".hpp", ".cuh"))
            if options.compiled is not None and not is_header and mutant.file not in options.compiled:
                refuse(mutant, f"nothing compiles the copy of {mutant.file}: add it to tests/mutants/CMakeLists.txt")
            place_of(mutant, sources[mutant.file])
        except Refusal as refusal:
            wrong.append(str(refusal))
    if wrong:
        raise Refusal("\n".join(wrong))
    for mutant in mechanical:
        place_of(mutant, sources[mutant.file])  # refuses those of another state
    mutants += without_overlaps(mechanical, mutants, sources)
    texts = {"mutant_table.cpp": table(mutants, sources)}
    for name, source in sources.items():
        here = [mutant for mutant in mutants if mutant.file == name]
        texts[name] = plant(here, source) if here else source
    for name, text in texts.items():
        write_if_changed(options.out / name, text)


if __name__ == "__main__":
    try:
        main()
    except (Refusal, OSError) as failure:
        print(f"plant.py: {failure}", file=sys.stderr)
        sys.exit(2)
