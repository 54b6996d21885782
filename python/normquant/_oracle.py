"""The oracle's library through ctypes, and anybody's tensors as it takes them (native/oracle_interface.h)."""

from __future__ import annotations

import ctypes
import functools
import json
import os
import sys
from pathlib import Path

_NUMPY_ELEMENTS = {"f2": "float16", "f4": "float32", "f8": "float64", "i1": "int8", "u1": "uint8"}
_FLOATING = ("float32", "float16", "bfloat16")
_BYTES = ("int8", "uint8", "float8_e4m3fn")
# What ml_dtypes' types are called; NumPy has no letter of its own for them.
_NAMED = ("bfloat16", "float8_e4m3fn")


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("role", ctypes.c_char_p),
        ("element", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("dimensions", ctypes.c_int32),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
    ]


LAUNCH = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int32, ctypes.c_void_p)


@functools.cache
def library() -> ctypes.CDLL:
    """libnormquant_oracle.so of the wheel, or the file that NORMQUANT_ORACLE_LIBRARY names. ImportError without it."""
    path = os.environ.get("NORMQUANT_ORACLE_LIBRARY") or Path(__file__).parent / "lib" / "libnormquant_oracle.so"
    try:
        found = ctypes.CDLL(str(path))
    except OSError as error:
        raise ImportError(
            f"the oracle's library cannot be loaded: {error}; install the wheel (docs/python.md), or name the library "
            "in NORMQUANT_ORACLE_LIBRARY"
        ) from error
    tensors = [ctypes.c_char_p, ctypes.POINTER(_Tensor), ctypes.c_int32]
    for name, arguments in {
        "judge": tensors,
        "save": tensors,
        "slots": [ctypes.c_char_p],
        "time": [*tensors, LAUNCH, LAUNCH],
    }.items():
        function = getattr(found, f"normquant_oracle_{name}")
        function.argtypes, function.restype = arguments, ctypes.c_void_p
    found.normquant_oracle_free.argtypes, found.normquant_oracle_free.restype = [ctypes.c_void_p], None
    return found


def call(name: str, request: dict, tensors: dict | None = None, *callbacks) -> dict:
    """The answer of one function. `tensors`: role -> HostTensor."""
    arguments = [json.dumps(request).encode()]
    if tensors is not None:
        array = (_Tensor * len(tensors))(*[tensor.structure(role) for role, tensor in tensors.items()])
        arguments += [array, len(tensors)]
    answer = getattr(library(), f"normquant_oracle_{name}")(*arguments, *callbacks)
    if not answer:
        raise MemoryError("no memory for the oracle's answer")
    try:
        return json.loads(ctypes.string_at(answer))
    finally:
        library().normquant_oracle_free(answer)


class HostTensor:
    """A tensor in the host's memory; `keep` owns the memory. Strides in bytes."""

    def __init__(self, keep, element: str, address: int, shape, strides):
        self.keep, self.element, self.address = keep, element, address
        self.shape, self.strides = tuple(shape), tuple(strides)

    def structure(self, role: str) -> _Tensor:
        axes = ctypes.c_int64 * len(self.shape)
        self._arrays = axes(*self.shape), axes(*self.strides)
        return _Tensor(role.encode(), self.element.encode(), self.address, len(self.shape), *self._arrays)

    @property
    def bytes(self) -> int:
        """Of its elements, each counted once per index."""
        size = {"float64": 8, "float32": 4, **dict.fromkeys(_BYTES, 1)}.get(self.element, 2)
        for length in self.shape:
            size *= length
        return size


def _from_torch(name: str, tensor) -> HostTensor:
    torch = sys.modules["torch"]
    if tensor.is_nested:
        raise TypeError(f"{name} is a nested tensor; pass a dense one: {name}.to_padded_tensor(0), or its parts")
    if tensor.is_quantized:
        raise TypeError(f"{name} is a quantised tensor of torch's; pass its values, {name}.dequantize(), or {name}.int_repr()")
    if tensor.layout != torch.strided:
        raise TypeError(f"{name} is a tensor of layout {tensor.layout}; pass a dense one: {name}.to_dense()")
    if tensor.device.type == "meta":
        raise ValueError(f"{name} is on the device meta and has no elements to judge")
    host = tensor.detach().resolve_neg().cpu()
    size = host.element_size()
    element = str(host.dtype).removeprefix("torch.")
    return HostTensor(host, element, host.data_ptr(), host.shape, [size * stride for stride in host.stride()])


def _from_array_interface(name: str, array) -> HostTensor:
    if hasattr(array, "mask"):
        raise TypeError(f"{name} is a masked array, and all elements are judged; pass its values, such as {name}.filled(0)")
    interface = array.__array_interface__
    typestr = interface["typestr"]
    dtype_name = getattr(getattr(array, "dtype", None), "name", "")
    if typestr[0] == ">" and typestr[2:] != "1":
        raise TypeError(f"{name} is big-endian ({typestr}); pass {name}.astype({name}.dtype.newbyteorder('<'))")
    element = dtype_name if dtype_name in _NAMED else _NUMPY_ELEMENTS.get(typestr[1:], dtype_name or typestr)
    size = int(typestr[2:] or 8)
    shape = interface["shape"]
    strides = interface.get("strides")
    if strides is None:
        strides, step = [], size
        for length in reversed(shape):
            strides.insert(0, step)
            step *= length
    return HostTensor((array, interface), element, interface["data"][0], shape, strides)


def _by_dlpack(name: str, value):
    """As a tensor of PyTorch, or of NumPy where there is no PyTorch."""
    try:
        import torch as framework
    except ImportError:
        import numpy as framework
    try:
        return framework.from_dlpack(value)
    except Exception as error:  # whatever a stranger's __dlpack__ raises
        raise TypeError(f"{name} is a {type(value).__name__} whose __dlpack__ gives no tensor: {error}") from error


def host_tensor(name: str, value, as_type: str | None = None, fp8: bool = False) -> HostTensor:
    """Any tensor in the host's memory; one on a GPU is copied, behind the work of its current stream. `as_type`: what 16-bit
    integers stand for. `fp8`: codes are e4m3. TypeError for what is no tensor."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        tensor = _from_torch(name, value)
    elif hasattr(value, "__array_interface__"):
        tensor = _from_array_interface(name, value)
    elif hasattr(value, "__dlpack__"):
        return host_tensor(name, _by_dlpack(name, value), as_type, fp8)
    else:
        raise TypeError(
            f"{name} is a {type(value).__name__}; pass a tensor of PyTorch, NumPy, or anything with __dlpack__"
        )
    if as_type is not None:
        if as_type not in ("bfloat16", "float16"):
            raise ValueError(f"as_type of {name} is {as_type!r}; 16 bits may stand for bfloat16 or float16")
        if tensor.element not in ("int16", "uint16"):
            raise TypeError(f"{name} holds {tensor.element}; as_type says what int16 or uint16 stand for")
        tensor.element = as_type
    _check_element(name, tensor.element, fp8)
    return tensor


def _check_element(name: str, element: str, fp8: bool) -> None:
    if name == "codes" and fp8:
        wanted, fits = 'codes of format="fp8_e4m3" are float8_e4m3fn, or a byte each', element in _BYTES
    elif name == "codes" and element == "float8_e4m3fn":
        wanted, fits = 'say format="fp8_e4m3", or give int8', False
    elif name == "codes":
        wanted, fits = "codes are int8", element == "int8"
    elif name == "packed":
        wanted, fits = "packed codes are uint8, four to a byte", element == "uint8"
    else:
        wanted = "it must be float32, float16 or bfloat16, as the kernel itself read or wrote it"
        if element in ("int16", "uint16"):
            wanted += f"; if the 16 bits are bfloat16, say as_type={{'{name}': 'bfloat16'}}"
        fits = element in _FLOATING
    if not fits:
        raise TypeError(f"{name} holds {element}; {wanted}")
