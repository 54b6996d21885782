"""Times any Python callable by the timers of `normquant bench`, once its results are right (docs/python.md).

    import normquant
    print(normquant.bench(my_kernel, op="forward", shape=(4096, 4096), norm="rms", eps=1e-6,
                          weight=True, outputs=("codes", "dequant_scale")))

The callable gets its inputs by name, my_kernel(x=..., weight=...), and returns its outputs: a tensor, a tuple in the order of
`outputs`, or a dict. On a GPU it launches on torch's current stream and does not synchronise: its launches are captured in a
CUDA graph.
"""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass, field

from normquant import _oracle, testing

__all__ = ["Standing", "bench"]

_SETS_OF_VALUES = 3  # among the copies of the buffers: neighbours differ


@dataclass(frozen=True)
class Standing:
    """Times in microseconds a launch."""

    title: str
    device: str
    kind: str  #: "steady": launches back to back on a GPU; "cpu_execution": on the CPU, which says nothing about a GPU
    us: float  #: median of the callable
    cold_us: float | None  #: median of one launch behind a flushed L2; GPU only
    copy_us: float | None  #: fastest plain copy of as many bytes; GPU only
    bytes: int  #: each input read once, each output written once
    rotated_bytes: int  #: bytes * copies of the buffers
    ours: list = field(default_factory=list)  #: this library's variants on the same problem: {"variant", "outcome", ...}
    judged: int = 0  #: elements that were right before timing and after
    details: dict = field(default_factory=dict)  #: quartiles, counts of samples, why they ended

    @property
    def best(self) -> dict | None:
        """The fastest of `ours`; None when none serves the problem."""
        timed = [line for line in self.ours if line["outcome"] == "pass"]
        return min(timed, key=lambda line: line["median_us"], default=None)

    @property
    def share_of_copy(self) -> float | None:
        """copy_us / us: 1 is as fast as a plain copy."""
        return None if self.copy_us is None else self.copy_us / self.us

    def __str__(self) -> str:
        lines = [self.title, f"right: {self.judged} elements judged before timing and after", ""]
        lines.append(f"{'on ' + self.device:<44} {'us':>10} {'cold us':>10} {'of copy':>8}")

        def add(name, us, cold):
            share = f"{self.copy_us / us:.2f}" if self.copy_us else "-"
            lines.append(f"{name:<44} {us:>10.2f} {format(cold, '.2f') if cold else '-':>10} {share:>8}")

        add("the callable", self.us, self.cold_us)
        best = self.best
        if best is not None:
            name = best["variant"] if best["variant"] != "auto" else f"auto: {best.get('auto_variant', '')}"
            add(f"normquant, {name}", best["median_us"], best.get("cold_us"))
        elif self.ours:
            lines.append(f"normquant: {self.ours[0]['reason']}")
        if self.copy_us is not None:
            add(f"plain copy of {self.bytes} bytes", self.copy_us, None)
        if self.kind == "cpu_execution":
            lines.append("these are CPU times: they say nothing about a GPU")
        return "\n".join(lines)


class _Launches:
    """What the timers call: the callable on one copy of the inputs, on their stream."""

    def __init__(self, function, copies, outputs, cuda):
        self.function, self.copies, self.outputs, self.cuda = function, copies, outputs, cuda
        self.results = [None] * len(copies)  # alive, since graphs go on writing there
        self.last = 0
        self.failure = None
        self.streams = set()

    def run(self, slot: int):
        self.results[slot] = self.function(**self.copies[slot])
        self.last = slot

    def warm_up(self, stream):
        """Every copy twice, before anything is captured or held on this stream: afterwards torch's allocator has the memory that
        launches there ask for, and asks none of CUDA."""
        if stream not in self.streams:
            self.streams.add(stream)
            for slot in 2 * list(range(len(self.copies))):
                self.run(slot)

    def launch(self, slot, stream) -> int:
        try:
            if self.cuda is None:
                self.run(slot)
            else:
                import torch

                with torch.cuda.stream(torch.cuda.ExternalStream(stream or 0, device=self.cuda)):
                    self.warm_up(stream)
                    self.run(slot)
            return 0
        except BaseException as failure:  # an exception cannot pass through C
            self.failure = failure
            return 1

    def poison(self, _slot, _stream) -> int:
        """Overwrites the outputs of all copies."""
        try:
            for result in self.results:
                for value in self.named(result).values():
                    _overwrite(value)
            if self.cuda is not None:
                import torch

                torch.cuda.synchronize(self.cuda)
            return 0
        except BaseException as failure:
            self.failure = failure
            return 1

    def named(self, result) -> dict:
        """The outputs by role. TypeError when they are not what `outputs` says."""
        if isinstance(result, dict):
            missing = [name for name in self.outputs if name not in result]
            if missing:
                raise TypeError(f"the callable returned no {missing[0]}; it returned {', '.join(map(str, result))}")
            return {name: result[name] for name in self.outputs}
        values = result if isinstance(result, (tuple, list)) else (result,)
        if len(values) != len(self.outputs):
            raise TypeError(
                f"the callable returned {len(values)} values; outputs={self.outputs} names {len(self.outputs)}"
            )
        return dict(zip(self.outputs, values))


def _overwrite(value) -> None:
    if hasattr(value, "fill_"):
        with sys.modules["torch"].no_grad():
            value.fill_(77)
    else:
        value[...] = 77


def _clone(value):
    return value.detach().clone() if hasattr(value, "detach") else value.copy()


def _rolled(value, of: int):
    """A copy with its rows moved on by `of`: other values, as large and as rare as before."""
    if of == 0:
        return _clone(value)
    if hasattr(value, "detach"):
        return value.detach().roll(of, 0)
    import numpy

    return numpy.roll(value, of, 0)


def _random_inputs(op, shape, dtype, weight, bias, residual, norm, eps, device):
    """Normal values; by torch where the device is one of torch's, else by NumPy."""
    rows, columns = shape
    wanted = {"w" if op == "weight_quant" else "h" if op == "backward" else "x": (rows, columns)}
    if op == "backward":
        wanted["dy"] = (rows, columns)
    for name, asked in (("weight", weight), ("bias", bias), ("residual", residual)):
        if asked:
            wanted[name] = (rows, columns) if name == "residual" else (columns,)
    if device == "numpy":
        import numpy

        if dtype == "bfloat16":
            raise ValueError("NumPy has no bfloat16; give dtype='float32', or device='cpu' with torch")
        draw = numpy.random.default_rng(1)
        values = {name: draw.standard_normal(size).astype(dtype) for name, size in wanted.items()}
        if op == "backward":
            h = values["h"].astype("float64")
            mean, rstd = _statistics(h.mean(1), (h * h).mean(1), norm, eps, numpy.sqrt)
            values["rstd"] = rstd.astype("float32")
            if mean is not None:
                values["mean"] = mean.astype("float32")
        return values
    import torch

    draw = torch.Generator(device).manual_seed(1)
    kind = getattr(torch, dtype)
    values = {name: torch.randn(size, generator=draw, device=device).to(kind) for name, size in wanted.items()}
    if op == "backward":
        h = values["h"].double()
        mean, rstd = _statistics(h.mean(1), (h * h).mean(1), norm, eps, torch.sqrt)
        values["rstd"] = rstd.float()
        if mean is not None:
            values["mean"] = mean.float()
    return values


def _statistics(mean, square, norm, eps, sqrt):
    if norm == "layer":
        return mean, 1 / sqrt(square - mean * mean + eps)
    return None, 1 / sqrt(square + eps)


def _default_device() -> str:
    try:
        import torch
    except ImportError:
        return "numpy"
    return f"cuda:{torch.cuda.current_device()}" if torch.cuda.is_available() else "cpu"


def _cuda_of(inputs: dict):
    """The torch.device of the inputs when it is a GPU, else None. ValueError when they are on several."""
    devices = {str(value.device): value.device for value in inputs.values() if hasattr(value, "detach")}
    if len(devices) > 1:
        raise ValueError(f"the inputs are on {' and '.join(sorted(devices))}; put them on one device")
    device = next(iter(devices.values()), None)
    return device if device is not None and device.type == "cuda" else None


def _require(answer: dict, launches: _Launches | None = None) -> dict:
    if answer["outcome"] == "right":
        return answer
    if launches is not None and launches.failure is not None:
        raise launches.failure
    raise (ValueError if answer["outcome"] == "refused" else RuntimeError)(answer["reason"])


def bench(
    function, *, op, outputs, shape=None, inputs=None, dtype=None, weight=False, bias=False, residual=False, device=None,
    ours="auto", quick=False, **words,
) -> Standing:
    """Judges what `function` computes, and times it when that is right.

    op: "forward", "norm", "backward", "activation_quant" or "weight_quant". outputs: the roles of what it returns, in order.
    shape: (rows, columns) of inputs made here, of `dtype` ("bfloat16" on torch, "float32" on NumPy), with weight, bias or residual
    when asked; or inputs: role -> tensor, the caller's own. device: "cuda:0", "cpu" (torch) or "numpy"; default: the GPU when torch
    has one. ours: the variant that normquant itself would take ("auto"), the best of "all", or "none". words: norm, eps, rounding,
    ... as in normquant.testing; eps of a backward is that of the forward. quick: fewer samples.

    Raises WrongResult or CannotTell in place of a time, before timing or after; RuntimeError when no time can be had (work on
    another stream, faster than memory); and whatever `function` raises."""
    outputs = (outputs,) if isinstance(outputs, str) else tuple(outputs)
    if op not in testing.OUTPUTS or op.startswith("bit_linear"):
        timed = [name for name in testing.OUTPUTS if not name.startswith("bit_linear")]
        raise ValueError(f"op={op!r}; there are {', '.join(timed)}; the layer is timed by these parts")
    unknown = [name for name in outputs if name not in testing.OUTPUTS[op]]
    if unknown or not outputs:
        raise ValueError(f"outputs={outputs}; {op} has {', '.join(testing.OUTPUTS[op])}")
    if ours not in ("auto", "all", "none"):
        raise ValueError(f"ours={ours!r}; there are auto, all, none")
    if (shape is None) == (inputs is None):
        raise ValueError("give shape=(rows, columns), or inputs={'x': ...}")
    eps = words.pop("eps", None) if op == "backward" else words.get("eps")
    if inputs is None:
        if len(shape) != 2 or min(shape) < 1:
            raise ValueError(f"shape={shape}; it must be (rows, columns), each 1 or more")
        device = device or _default_device()
        dtype = str(dtype or ("float32" if device == "numpy" else "bfloat16")).removeprefix("torch.")
        inputs = _random_inputs(op, shape, dtype, weight, bias, residual, words.get("norm"), eps or 1e-6, device)
    cuda = _cuda_of(inputs)
    first = _Launches(function, [inputs], outputs, cuda)
    first.run(0)
    results = first.named(first.results[0])
    judged = testing._demand(op, {**inputs, **results}, None, words)

    hosts = testing._host_tensors(op, {**inputs, **results}, None, words.get("format"))
    moved = sum(tensor.bytes for tensor in hosts.values())
    name = "host" if cuda is None else f"cuda:{cuda.index or 0}"
    slots = _require(_oracle.call("slots", {"device": name, "bytes": moved}))["slots"]
    # Rows move together, so that statistics saved for a row stay with it.
    matrices = [role for role in inputs if len(inputs[role].shape) > 1 or role in ("rstd", "mean", "quant_scale")]
    copies = [
        {
            role: _rolled(value, slot % _SETS_OF_VALUES) if role in matrices else _clone(value)
            for role, value in inputs.items()
        }
        for slot in range(slots)
    ]
    launches = _Launches(function, copies, outputs, cuda)
    request = {**testing._words(op, words), "device": name, "bytes": moved, "slots": slots, "ours": ours, "quick": quick}
    answer = _require(
        _oracle.call("time", request, hosts, _oracle.LAUNCH(launches.launch), _oracle.LAUNCH(launches.poison)), launches
    )
    last = launches.last
    after = testing._demand(op, {**copies[last], **launches.named(launches.results[last])}, None, words)
    cold = answer["cold"]
    return Standing(
        title=judged.title,
        device=answer["device"] if cuda is not None else "the CPU",
        kind=answer["theirs"]["kind"],
        us=answer["theirs"]["median_us"],
        cold_us=cold and cold["median_us"],
        copy_us=answer["copy_us"],
        bytes=moved,
        rotated_bytes=answer["rotated_bytes"],
        ours=answer["ours"],
        judged=judged.elements_checked + after.elements_checked,
        details={"steady": answer["theirs"], "cold": cold, "copy_way": answer.get("copy_way")},
    )


class _CallableModule(types.ModuleType):
    """`normquant.bench` is this function also once the module of that name was imported."""

    def __call__(self, *arguments, **words):
        return bench(*arguments, **words)


sys.modules[__name__].__class__ = _CallableModule
