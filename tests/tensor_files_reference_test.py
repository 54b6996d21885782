#!/usr/bin/env python3
"""`normquant check` reads what NumPy, ml_dtypes and safetensors read, and refuses what they refuse.

    tensor_files_reference_test.py NORMQUANT [ROUNDS]

ROUNDS of damaged headers (default 60). Ends with 77 (skipped) where numpy is missing; a package that is missing is named. Whether a
file was read right shows in the codes: they are made from what the reference loader read.
"""

import io
import json
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import warnings
import zipfile

try:
    import numpy
except ImportError:
    print("SKIPPED: numpy is not installed")
    sys.exit(77)

PROGRAM = sys.argv[1]
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 60
SCRATCH = tempfile.TemporaryDirectory(prefix="normquant_files_")  # pylint: disable=consider-using-with
FOLDER = pathlib.Path(SCRATCH.name)
chance = random.Random(7)
rng = numpy.random.default_rng(7)
failures, asked = [], 0
warnings.simplefilter("ignore")


def codes_of(x):
    """activation_quant in float64; random values do not come near to ties."""
    x = x.astype(numpy.float64).reshape(-1, x.shape[-1])
    scale = 127 / numpy.maximum(numpy.abs(x).max(1, keepdims=True), 1e-5)
    return numpy.clip(numpy.round(x * scale), -128, 127).astype(numpy.int8)


def ask(*arguments):
    answer = subprocess.run([PROGRAM, "check", "--op", "activation_quant", *arguments], capture_output=True, text=True,
                            errors="replace", check=False)
    return answer.returncode, answer.stdout + answer.stderr


def expect(what, status, arguments, sentence=""):
    global asked
    asked += 1
    got, output = ask(*arguments)
    if got != status or sentence not in output:
        failures.append(what)
        print(f"FAILED: {what}: status {got}, expected {status} {sentence!r}\n{output}")


def expect_read(what, content, x, *options, name=""):
    """The file of that content holds x [.., N], whatever its spelling."""
    path = FOLDER / "x.file"
    path.write_bytes(content)
    numpy.save(FOLDER / "codes.npy", codes_of(x))
    expect(what, 0, ["--x", str(path) + name, "--codes", str(FOLDER / "codes.npy"), *options])


def npy(header, data, version=1):
    size = 2 if version == 1 else 4
    header += " " * (63 - (8 + size + len(header)) % 64) + "\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(size, "little") + header.encode("latin1") + data


def saved(array, version=None):
    content = io.BytesIO()
    numpy.lib.format.write_array(content, array, version=version)
    return content.getvalue()


def values(*shape):
    return rng.standard_normal(shape).astype(numpy.float32)


def whole_npy_files():
    for shape in ((136,), (5, 136), (1, 7), (7, 1), (2, 3, 8), (3, 1, 1, 40)):
        for type_ in ("<f4", ">f4", "<f2", ">f2", "=f4", "f4"):
            for version in ((1, 0), (2, 0), (3, 0)):
                x = values(*shape).astype(type_)
                expect_read(f"{type_} {shape} version {version}", saved(x, version), x)
            x = numpy.asfortranarray(values(*shape).astype(type_))
            expect_read(f"{type_} {shape} columns first", saved(x), x)
    x = values(5, 136)
    for descr in ("float32", "f", "single", "|f4", "=f4", "f4", "<f"):
        content = npy(f"{{'descr': '{descr}', 'fortran_order': False, 'shape': (5, 136)}}", x.tobytes())
        assert (numpy.load(io.BytesIO(content)) == x).all()
        expect_read(f"descr {descr}", content, x)
    for descr in ("i1", "<i1", ">i1", "|i1", "int8", "b", "byte"):
        codes = codes_of(x)
        numpy.save(FOLDER / "x.npy", x)
        (FOLDER / "c.npy").write_bytes(npy(f"{{'descr': '{descr}', 'fortran_order': False, 'shape': (5, 136)}}", codes.tobytes()))
        assert (numpy.load(FOLDER / "c.npy") == codes).all()
        expect(f"codes {descr}", 0, ["--x", str(FOLDER / "x.npy"), "--codes", str(FOLDER / "c.npy")])
    content = saved(x) + b"more"
    assert (numpy.load(io.BytesIO(content)) == x).all()
    expect_read("bytes behind the array", content, x)
    two = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (5L, 136L), }", x.tobytes())
    assert (numpy.load(io.BytesIO(two)) == x).all()
    expect_read("the shape of Python 2", two, x)


def damaged_npy_files():
    """Headers with a few characters changed: read where NumPy reads them, else refused."""
    x = values(4, 6)
    for round_ in range(ROUNDS):
        base = bytearray(saved(numpy.asfortranarray(x) if round_ % 3 == 0 else x, (1 + round_ % 3, 0)))
        start = 10 if base[6] == 1 else 12
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(start, start + 70)
            action, character = chance.randrange(3), chance.choice(b" ,'\"{}()[]0123456789L<>=|fi#uTF\n")
            if action == 0:
                base[place] = character
            elif action == 1:  # moved together, so that the header keeps its length
                base[place:start + 100] = base[place + 1:start + 100] + b" "
            else:
                base[place:start + 100] = bytes([character]) + base[place:start + 99]
        content = bytes(base)
        header = content[start:start + 70]
        try:
            read = numpy.load(io.BytesIO(content), allow_pickle=False)
        except Exception:  # pylint: disable=broad-except
            (FOLDER / "x.file").write_bytes(content)
            expect(f"NumPy refuses {header}", 2, ["--x", str(FOLDER / "x.file"), "--codes", str(FOLDER / "codes.npy")])
            continue
        if read.dtype.kind == "f" and read.dtype.itemsize in (2, 4) and read.size > 0 and read.ndim > 0 \
                and numpy.isfinite(read).all() and len(read.shape) > 0:
            x_read = read.reshape(-1, read.shape[-1]).astype(numpy.float64)
            scaled = x_read * 127 / numpy.maximum(numpy.abs(x_read).max(1, keepdims=True), 1e-5)
            if (numpy.abs(scaled - numpy.floor(scaled) - 0.5) > 1e-3).all():
                expect_read(f"NumPy reads {header}", content, read)
    whole = saved(x)
    for length in range(0, len(whole), 13):
        (FOLDER / "x.file").write_bytes(whole[:length])
        expect(f"cut off at {length}", 2, ["--x", str(FOLDER / "x.file"), "--codes", str(FOLDER / "codes.npy")])


class OneWay(io.RawIOBase):
    """A file that cannot seek: zipfile writes the sizes behind the data."""

    def __init__(self):
        super().__init__()
        self.content = b""

    def writable(self):
        return True

    def write(self, data):
        self.content += bytes(data)
        return len(data)


def npz_files():
    x = values(5, 136)
    for save in (numpy.savez, numpy.savez_compressed):
        content = io.BytesIO()
        save(content, **{"dense/x:0": x, "y" * 700: x[:1]})
        expect_read(save.__name__, content.getvalue(), x, name=":dense/x:0")
        expect_read(save.__name__, content.getvalue(), x, name="::dense/x:0")
        expect_read(save.__name__ + ", long name", content.getvalue(), x[:1], name=":" + "y" * 700)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        for make in (io.BytesIO, OneWay):
            target = make()
            with zipfile.ZipFile(target, "w", method) as archive:
                archive.comment = b"a comment"
                archive.writestr("folder/", "")
                with archive.open("x.npy", "w", force_zip64=True) as entry:
                    entry.write(saved(x))
            content = target.getvalue() if make is io.BytesIO else target.content
            assert (numpy.load(io.BytesIO(content))["x"] == x).all()
            name = {zipfile.ZIP_BZIP2: "bzip2", zipfile.ZIP_LZMA: "lzma"}.get(method)
            if name is None:
                expect_read(f"zip method {method}, {make.__name__}", content, x, name=":x")
                continue
            (FOLDER / "x.npz").write_bytes(content)
            expect(name, 2, ["--x", str(FOLDER / "x.npz"), "--codes", str(FOLDER / "codes.npy")], f"compressed with {name}")
    with zipfile.ZipFile(FOLDER / "x.npz", "w") as archive:
        archive.writestr("x.npy", saved(x))
        archive.writestr("x.npy", saved(x))
    expect("two of one name", 2, ["--x", str(FOLDER / "x.npz"), "--codes", str(FOLDER / "codes.npy")], "two arrays")


def ml_dtypes_files():
    import ml_dtypes

    x = values(5, 136).astype(ml_dtypes.bfloat16)
    content = io.BytesIO()
    numpy.save(content, x)
    expect_read("ml_dtypes bfloat16", content.getvalue(), x.astype(numpy.float32), "--as", "x=bfloat16")
    named = npy("{'descr': 'bfloat16', 'fortran_order': False, 'shape': (5, 136)}", x.tobytes())
    assert (numpy.load(io.BytesIO(named)).view(numpy.uint16) == x.view(numpy.uint16)).all()
    expect_read("descr bfloat16", named, x.astype(numpy.float32))
    for type_ in (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2):
        numpy.save(FOLDER / "f8.npy", x.astype(type_))
        expect(type_.__name__, 2, ["--x", str(FOLDER / "f8.npy"), "--codes", str(FOLDER / "codes.npy")], "its elements are")


def safetensors_file(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def safetensors_files():
    import safetensors
    import safetensors.numpy

    x = values(5, 136)
    codes = codes_of(x)
    whole = safetensors.numpy.save({"x": x, "codes": codes, "half": x.astype(numpy.float16)}, {"format": "np"})
    path = FOLDER / "case.safetensors"

    def compare(what, content):
        path.write_bytes(content)
        try:
            read = {name: numpy.frombuffer(info["data"], numpy.uint8) for name, info in safetensors.deserialize(content)}
        except safetensors.SafetensorError as error:
            return expect(f"safetensors refuses {what}: {error}", 2, ["--tensors", str(path)])
        same = {name: numpy.array_equal(read.get(name), array.reshape(-1).view(numpy.uint8))
                for name, array in (("x", x), ("codes", codes))}
        return expect(f"safetensors reads {what}", 0, ["--tensors", str(path)]) if all(same.values()) else None

    compare("what it wrote", whole)
    length = struct.unpack("<Q", whole[:8])[0]
    header, data = json.loads(whole[8:8 + length]), whole[8 + length:]

    def changed(what, change, data=data):
        copy = json.loads(json.dumps(header))
        change(copy)
        compare(what, safetensors_file(copy, data))

    begin, end = header["half"]["data_offsets"]
    changed("overlap", lambda h: h["half"].update(data_offsets=[begin - 4, end - 4]))
    changed("gap", lambda h: h["half"].update(data_offsets=[begin + 4, end + 4]), data + b"1234")
    changed("bytes behind", lambda h: None, data + b"1")
    changed("cut off", lambda h: None, data[:-1])
    changed("unknown type", lambda h: h["half"].update(dtype="F31"))
    changed("no type", lambda h: h["half"].pop("dtype"))
    changed("field that nobody knows", lambda h: h["half"].update(more=[1, {"a": None}]))
    changed("wrong shape", lambda h: h["half"].update(shape=[5, 135]))
    changed("negative shape", lambda h: h["half"].update(shape=[-5, -136]))
    changed("shape 1e1", lambda h: h["half"].update(shape=[5.0, 136.0]))
    changed("shape of strings", lambda h: h["half"].update(shape=["5", "136"]))
    changed("huge shape", lambda h: h["half"].update(shape=[1 << 62, 1 << 62]))
    changed("empty tensor", lambda h: h.update(empty={"dtype": "I64", "shape": [0, 3], "data_offsets": [end, end]}))
    changed("scalar", lambda h: h.update(one={"dtype": "U8", "shape": [], "data_offsets": [end, end + 1]}), data + b"1")
    changed("number in metadata", lambda h: h["__metadata__"].update(a=1))
    changed("metadata null", lambda h: h.update(__metadata__=None))
    changed("half bytes", lambda h: h.update(f4={"dtype": "F4", "shape": [3], "data_offsets": [end, end + 1]}), data + b"1")
    changed("whole F4", lambda h: h.update(f4={"dtype": "F4", "shape": [4], "data_offsets": [end, end + 2]}), data + b"12")
    changed("list", lambda h: h.update(a=[]))
    changed("null", lambda h: h.update(a=None))
    text = whole[8:8 + length].rstrip()
    compare("blanks behind the header", safetensors_file(text + b"    ", data))
    compare("blanks before the header", safetensors_file(b"  " + text, data))
    compare("words behind the header", safetensors_file(text + b" 1", data))
    compare("no UTF-8", safetensors_file(text.replace(b'"half"', b'"ha\xfff"'), data))
    compare("a list", safetensors_file(b"[]", b""))
    compare("a longer header than the file", struct.pack("<Q", 1 << 40) + whole[8:])
    for _ in range(ROUNDS):
        damaged = bytearray(text)
        for _ in range(chance.randint(1, 2)):
            damaged[chance.randrange(len(damaged))] = chance.choice(b' ,"{}[]:0123456789FIx')
        compare(f"{bytes(damaged)}", safetensors_file(bytes(damaged), data))


def main():
    whole_npy_files()
    damaged_npy_files()
    npz_files()
    for files in (ml_dtypes_files, safetensors_files):
        try:
            files()
        except ImportError as missing:
            print(f"SKIPPED: {files.__name__}: {missing}")
    print(f"numpy {numpy.__version__}: {asked} files, {len(failures)} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
