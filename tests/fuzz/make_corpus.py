#!/usr/bin/env python3
"""Writes what the fuzzers start from: one file for each form that their inputs can have.

    make_corpus.py FOLDER      makes FOLDER/fuzz_tensor_files, FOLDER/fuzz_check and FOLDER/fuzz_problems

Only the standard library is used. What a fuzzer finds is kept as a case of tests/tensors_test.cpp, or of another test.
"""
import io
import json
import pathlib
import struct
import sys
import zipfile

ROWS, COLUMNS = 2, 8


def npy(descr, shape, data, version=1, fortran=False):
    header = "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }" % (descr, fortran, repr(shape))
    size = 4 if version > 1 else 2
    header += " " * (63 - (8 + size + len(header)) % 64) + "\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(size, "little") + header.encode() + data


def floats(count):
    return struct.pack("<%df" % count, *[(i * 37 % 11 - 5) / 3 for i in range(count)])


def halves(count):
    return struct.pack("<%dH" % count, *[0x3F80 + i for i in range(count)])


def npz(arrays, method):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", method) as entries:
        for name, array in arrays.items():
            entries.writestr(name + ".npy", array)
    return archive.getvalue()


def safetensors(tensors):
    header, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + data


MATRIX, VECTOR, ROW_VALUES = [ROWS, COLUMNS], [COLUMNS], [ROWS]
F32 = ("F32", MATRIX, floats(ROWS * COLUMNS))
BF16 = ("BF16", MATRIX, halves(ROWS * COLUMNS))
CODES = ("I8", MATRIX, bytes(ROWS * COLUMNS))
WEIGHT = ("F32", VECTOR, floats(COLUMNS))
SCALE = ("F32", ROW_VALUES, floats(ROWS))

FORWARD = {"x": BF16, "residual": F32, "weight": WEIGHT, "bias": WEIGHT, "out": BF16, "codes": CODES,
           "dequant_scale": SCALE, "rstd": SCALE, "quant_scale": SCALE, "residual_out": BF16}
NORM = {"x": F32, "weight": WEIGHT, "bias": WEIGHT, "y": BF16, "rstd": SCALE}
BACKWARD = {"h": F32, "dy": BF16, "rstd": SCALE, "mean": SCALE, "weight": WEIGHT, "bias": WEIGHT, "dresidual": F32,
            "dx": F32, "dx_residual": BF16, "dweight": WEIGHT, "dbias": WEIGHT, "out": F32, "codes": CODES}
ACTIVATION = {"x": F32, "out": F32, "codes": CODES, "dequant_scale": SCALE}
WEIGHTS = {"w": F32, "out": F32, "codes": CODES, "packed": ("U8", [ROWS, 2], bytes(2 * ROWS)),
           "dequant_factor": ("F32", [1], floats(1))}

TENSOR_FILES = {
    "f4": npy("<f4", (ROWS, COLUMNS), floats(ROWS * COLUMNS)),
    "f2": npy("<f2", (3,), halves(3)),
    "u2": npy("<u2", (1, 3), halves(3), version=2),
    "i1": npy("|i1", (), b"\x05", version=3),
    "empty": npy("<f8", (0, 4), b""),
    "big_endian": npy(">f4", (3,), floats(3)),
    "columns_first": npy("=f4", (2, 2, 2), floats(8), fortran=True),
    "stored": npz({"x": npy("<f4", (4,), floats(4)), "out": npy("|i1", (4,), bytes(4))}, zipfile.ZIP_STORED),
    "deflated": npz({"x": npy("<f4", (64,), bytes(256))}, zipfile.ZIP_DEFLATED),
    "safetensors": safetensors(FORWARD),
}
CHECKS = {
    "forward": b"\x00\x00" + safetensors(FORWARD),
    "layer_any": b"\x48\x00" + safetensors(FORWARD),
    "stored": b"\x20\x80" + safetensors(FORWARD),
    "rounded": b"\x88\x04" + safetensors(FORWARD),
    "norm": b"\x49\x00" + safetensors(NORM),
    "norm_steps": b"\x41\x84" + safetensors(NORM),
    "backward": b"\x0a\x00" + safetensors(BACKWARD),
    "activation": b"\x13\x00" + safetensors({**ACTIVATION, "quant_scale": SCALE}),
    "weights": b"\x04\x00" + safetensors(WEIGHTS),
    "transformers": b"\x04\x01" + safetensors({**WEIGHTS, "packed": ("U8", [1, COLUMNS], bytes(COLUMNS))}),
    "tq2_0": b"\x04\x02" + safetensors({"w": ("F32", [1, 256], floats(256)), "packed": ("U8", [66], bytes(66))}),
}
PROBLEMS = [
    "op=norm_quant_forward shape=3x24 x=float32 weight=float32 bias=float32 norm=layer eps=1e-05 values=huge_mean",
    "op=norm_quant_forward shape=1x1 x=float16 out=float16 values=tiny",
    "op=norm_quant_backward shape=3x33 x=bfloat16 weight=bfloat16 dy=float32 dx=float16 dx_residual=float32",
    "op=activation_quant shape=2x40 x=float32 codes=1 rounding=half_even values=ties seed=18446744073709551615",
    "op=weight_quant shape=3x40 x=float16 packed=1 row_padding=3 offset=1 values=outlier_columns",
    "op=bit_linear_forward shape=2x16 x=bfloat16 k_out=8 operand=float16 linear_bias=float32 cached=1 training=1",
    "op=forward shape=0x64 h_source=stored residual=float32 residual_out=bfloat16 save_quant_scale=1 values=one_nan",
    "op=backward shape=1099511627776x1 dresidual=float16 values=huge_weight",
]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    problems = {"problem_%d" % i: text.encode() for i, text in enumerate(PROBLEMS)}
    for target, files in (("fuzz_tensor_files", TENSOR_FILES), ("fuzz_check", CHECKS), ("fuzz_problems", problems)):
        folder = pathlib.Path(sys.argv[1]) / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
