#!/usr/bin/env python3
"""Where the layer stands: Markdown tables of records, against the Triton layer and the targets.

    scripts/layer_table.py --bench LAYER.jsonl --products PRODUCTS.jsonl --triton TRITON.jsonl > layer.md

LAYER is of `normquant bench --sweep layer --out`, PRODUCTS of `normquant products --out`, TRITON of
scripts/time_triton_layer.py; all of one run on one machine. Needs Python 3 and nothing else. Ends with status 2, and a
sentence, when a file cannot be read or is no such record file.
"""
import argparse
import json
import sys

FORWARD_TARGETS = {"8192x4096x4096": 1.5, "2048x4096x4096": 2.5}
BOTH_TARGETS = {"8192x4096x4096": 1.25, "2048x4096x4096": 2.0}
DECODE_TARGET = 4.0
OUTSIDE_TARGET = 15.0
# The product of each variant of the forward; integer_fused's scales its sums itself.
PRODUCT_OF = {"fake_quantised": "bfloat16", "integer": "int8", "integer_fused": "int8 fused"}
FORWARD_FORMS = (("rms", "forward"), ("rms+training", "forward of training"),
                 ("rms+cached", "forward, cached weights"), ("rms+residual", "forward of training, residual"))


def fail(sentence):
    print(f"layer_table.py: {sentence}", file=sys.stderr)
    sys.exit(2)


def read_lines(path):
    try:
        with open(path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file if line.strip()]
    except (OSError, ValueError) as error:
        fail(f"{path}: {error}")
    if not lines or not all(isinstance(line, dict) for line in lines):
        fail(f"{path}: a line is not a record")
    return lines


def full_shape(shape):
    """`MxK_inxK_out`, also of a square layer's `MxK_in`."""
    sizes = shape.split("x")
    return "x".join(sizes if len(sizes) == 3 else sizes + sizes[1:])


def read_layer(path):
    """{(op, shape, form): {variant: microseconds}} of what passed, and which variant `auto` stands for."""
    times, auto = {}, {}
    for line in read_lines(path):
        if line.get("kind") != "timing" or line.get("verdict") != "pass":
            continue
        key = (line["op"], full_shape(line["shape"]), line["form"])
        times.setdefault(key, {})[line["variant"]] = line["median_us"]
        auto[key] = line["auto_variant"]
    return times, auto


def met(holds):
    return "met" if holds else "missed"


def cell(value, digits=1):
    return "" if value is None else f"{value:.{digits}f}"


class Tables:
    def __init__(self, bench, products, triton):
        self.times, self.auto = read_layer(bench)
        lines = [line for line in read_lines(products) if line.get("kind") == "product"]
        self.products = {(line["shape"], line["way"]): line for line in lines}
        self.triton = {(line["shape"], line["what"]): line["us"] for line in read_lines(triton) if "what" in line}
        if not self.times or not self.products:
            fail("no timing of the layer, or none of its products, is among the records")

    def best(self, op, shape, form):
        of_case = self.times.get((op, shape, form))
        return min(of_case.items(), key=lambda item: item[1]) if of_case else (None, None)

    def product(self, shape, way):
        line = self.products.get((shape, way))
        return line["median_us"] if line else None

    def training(self):
        print("### Training: the whole layer\n")
        print("| shape | what | variant | us | Triton us | Triton / ours | target | outside the products |")
        print("| ---: | --- | --- | ---: | ---: | ---: | --- | ---: |")
        shapes = sorted({shape for _, shape, _ in self.times if int(shape.split("x")[0]) > 16},
                        key=lambda shape: [-int(size) for size in shape.split("x")])
        for shape in shapes:
            self.training_rows(shape)
        print()

    def training_rows(self, shape):
        product = {way: self.product(shape, way) for way in ("bfloat16", "bfloat16 dy", "bfloat16 dlinear_weight")}
        forward_variant, _ = self.best("bit_linear_forward", shape, "rms")
        training_variant, forward = self.best("bit_linear_forward", shape, "rms+training")
        _, backward = self.best("bit_linear_backward", shape, "rms")
        for form, name in FORWARD_FORMS:
            for variant, us in sorted(self.times.get(("bit_linear_forward", shape, form), {}).items()):
                if variant not in PRODUCT_OF:
                    continue
                triton = self.triton.get((shape, "forward")) if form in ("rms", "rms+training") else None
                share = self.outside(us, [self.product(shape, PRODUCT_OF[variant])])
                target = FORWARD_TARGETS.get(shape) if form == "rms" and variant == forward_variant else None
                self.training_row(shape, name, variant, us, triton, target, share)
        for form in ("rms", "rms+dresidual"):
            _, us = self.best("bit_linear_backward", shape, form)
            if us is not None:
                share = self.outside(us, [product["bfloat16 dy"], product["bfloat16 dlinear_weight"]])
                name = "backward" if form == "rms" else "backward, dresidual"
                self.training_row(shape, name, "fake_quantised", us, None, None, share)
        if forward is not None and backward is not None:
            product["bfloat16"] = self.product(shape, PRODUCT_OF.get(training_variant))
            share = self.outside(forward + backward, product.values())
            self.training_row(shape, "forward + backward", training_variant, forward + backward,
                              self.triton.get((shape, "forward+backward")), BOTH_TARGETS.get(shape), share)

    @staticmethod
    def outside(us, products):
        products = list(products)
        return None if any(p is None for p in products) else 100 * (us - sum(products)) / us

    @staticmethod
    def training_row(shape, what, variant, us, triton, target, share):
        ratio = triton / us if triton else None
        judged = f"{target} {met(ratio >= target)}" if target and ratio else ""
        outside = "" if share is None else f"{share:.1f}%"
        if share is not None and shape.startswith("8192x4096"):
            outside += f" ({met(share <= OUTSIDE_TARGET)})"
        print(f"| {shape} | {what} | {variant} | {us:.1f} | {cell(triton)} | {cell(ratio, 2)} | {judged} | {outside} |")

    def of_products(self):
        print("### The products alone\n")
        print("| shape | way | us | Top/s | bfloat16 / this |")
        print("| ---: | --- | ---: | ---: | ---: |")
        for (shape, way), line in self.products.items():
            if way.startswith("packed by"):
                continue
            base = self.product(shape, "bfloat16")
            ratio = base / line["median_us"] if base and "dy" not in way and "weight" not in way and way != "scale" else None
            target = f" ({met(ratio >= DECODE_TARGET)})" if way == "packed" and ratio else ""
            rate = "" if way == "scale" else f"{line['tera_operations_per_s']:.0f}"
            print(f"| {shape} | {way} | {line['median_us']:.2f} | {rate} | {cell(ratio, 2)}{target} |")
        print()

    def decoding(self):
        print("### Decoding: the layer with cached weights\n")
        print("| shape | fake_quantised us | integer us | packed us | fake_quantised / packed | auto |")
        print("| ---: | ---: | ---: | ---: | ---: | --- |")
        for (op, shape, form), of_case in self.times.items():
            if int(shape.split("x")[0]) > 16 or "packed" not in of_case:
                continue
            fake = of_case.get("fake_quantised")
            ratio = fake / of_case["packed"] if fake else None
            print(f"| {shape} | {cell(fake, 2)} | {cell(of_case.get('integer'), 2)} | {of_case['packed']:.2f} | "
                  f"{cell(ratio, 2)} | {self.auto[(op, shape, form)]} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("bench", "products", "triton"):
        parser.add_argument(f"--{name}", required=True, metavar="FILE")
    options = parser.parse_args()
    tables = Tables(options.bench, options.products, options.triton)
    print("bfloat16, RMS norm with weight, no linear bias; medians, steady (buffers rotated past the L2), in CUDA graphs.")
    print("Forward + backward is the sum of both times; the Triton system's is of one graph. The product of integer_fused")
    print("(`int8 fused`) scales its sums itself.\n")
    tables.training()
    tables.of_products()
    tables.decoding()


if __name__ == "__main__":
    main()
