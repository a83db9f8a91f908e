"""Quantised weights, method by method: a tiny Llama is quantised, saved, opened by savs, certified, and compared.

    pip install --no-deps --target extras bitsandbytes==0.50.2 torchao==0.18.0 compressed-tensors==0.20.0 loguru==0.7.3
    PYTHONPATH=extras python -m benchmarks.families.quantised

It writes `docs/quantised.json`, from which the table in `docs/models.md` is made. Methods whose package is not at hand
stay as they were recorded. All of it runs on a CPU; what a GPU's own kernels give is another matter.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file

from benchmarks.families.certify import build
from benchmarks.families.page import RECORDS, write
from benchmarks.families.processors import processor_for
from benchmarks.families.shrink import shrunk
from savs.backbones.huggingface import HuggingFaceBackbone, load_backbone
from savs.doctor import certify, measure_drift
from savs.errors import BackboneError

DOCS = Path(__file__).parents[2] / "docs"


@dataclass(frozen=True)
class Method:
    """A way to quantise weights.

    Attributes:
        package: whose it is, as it is imported; empty where transformers needs none.
        make: turns the folder of a plain model, its first argument, into a quantised one in its second.
    """

    package: str
    make: Callable[[Path, Path], None]


@dataclass(frozen=True)
class Record:
    """What was found of one method.

    Attributes:
        made_with: package and version, or empty.
        problem: why the model was not opened, or empty.
        kept: how the opened model keeps its weights, in the spec's words.
        checks: verdict of each of the doctor's checks.
        batch: largest relative difference between a batch and single examples.
        drift: size of the difference between its features and the plain model's, a share of their size, all layers.
        transformers: its version.
    """

    made_with: str = ""
    problem: str = ""
    kept: str = ""
    checks: dict[str, str] | None = None
    batch: float | None = None
    drift: float | None = None
    transformers: str = transformers.__version__

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return asdict(self)


def plain_model(folder: Path) -> Path:
    """A tiny Llama with its tokenizer, saved in `folder`."""
    config = shrunk("llama")
    processor_for(config).save_pretrained(folder)
    torch.manual_seed(0)
    build(config, "llama").save_pretrained(folder)
    return folder


def tried(method: Method, plain: Path, folder: Path) -> Record:
    """Quantise the plain model into `folder`, open that and hold it against the plain one."""
    made_with = f"{method.package.replace('_', '-')} {version(method.package)}" if method.package else ""
    method.make(plain, folder)
    for path in (*plain.glob("token*"), *plain.glob("*.jinja")):
        shutil.copy(path, folder)
    try:
        backbone = _opened(folder)
    except BackboneError as error:
        return Record(made_with, problem=str(error).replace(str(folder), "it"))
    found = certify(backbone, batch_sizes=())
    drift = measure_drift(backbone, _opened(plain), images=False)
    return Record(
        made_with,
        kept=backbone.spec.quantised,
        checks={check.name: check.verdict for check in found.checks},
        batch=next(check.value for check in found.checks if check.name == "text"),
        drift=float(np.mean(list(drift.layers.values()))),
    )


def _opened(folder: Path) -> HuggingFaceBackbone:
    return load_backbone(folder, dtype="float32", device="cpu")


def _by_transformers(settings: Callable[[], Any]) -> Callable[[Path, Path], None]:
    """Quantised while it is loaded."""

    def make(plain: Path, folder: Path) -> None:
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(
            plain, dtype=torch.float32, device_map={"": "cpu"}, quantization_config=settings()
        )
        model.save_pretrained(folder)

    return make


def _torchao(name: str) -> Callable[[Path, Path], None]:
    def settings() -> Any:
        from torchao import quantization

        return transformers.TorchAoConfig(getattr(quantization, name)())

    return _by_transformers(settings)


def _compressed_tensors(plain: Path, folder: Path) -> None:
    """Four bits, packed, in groups of 32."""
    from compressed_tensors import ModelCompressor
    from compressed_tensors.quantization import (
        QuantizationArgs,
        QuantizationConfig,
        QuantizationScheme,
        apply_quantization_config,
    )

    model = transformers.AutoModelForCausalLM.from_pretrained(plain, dtype=torch.float32)
    weights = QuantizationArgs(num_bits=4, type="int", symmetric=True, strategy="group", group_size=32)
    groups = {"all": QuantizationScheme(targets=["Linear"], weights=weights)}
    apply_quantization_config(
        model, QuantizationConfig(config_groups=groups, format="pack-quantized", ignore=["lm_head"])
    )
    for module in model.modules():
        if hasattr(module, "weight_scale"):
            largest = module.weight.detach().reshape(len(module.weight), -1, 32).abs().amax(dim=-1)
            module.weight_scale.data.copy_(largest / 7)
    compressor = ModelCompressor.from_pretrained_model(model)
    compressor.compress_model(model)
    model.save_pretrained(folder)
    compressor.update_config(folder)


def _fp8(plain: Path, folder: Path) -> None:
    """Eight-bit floats with one scale for each block of 128 x 128, as DeepSeek and Qwen publish them."""
    weights = load_file(plain / "model.safetensors")
    for name in [name for name in weights if name.endswith("_proj.weight")]:
        rows, columns = (-(-size // 128) for size in weights[name].shape)
        scale = torch.full((rows, columns), float(weights[name].abs().max()) / 448)
        weights[name] = (weights[name] / scale[0, 0]).to(torch.float8_e4m3fn)
        weights[f"{name}_scale_inv"] = scale
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _say(
        plain,
        folder,
        quant_method="fp8",
        activation_scheme="dynamic",
        weight_block_size=[128, 128],
        modules_to_not_convert=["lm_head"],
    )


def _claimed(**settings: Any) -> Callable[[Path, Path], None]:
    """Plain weights whose configuration says that they are quantised: enough to see what is asked for."""

    def make(plain: Path, folder: Path) -> None:
        shutil.copy(plain / "model.safetensors", folder)
        _say(plain, folder, **settings)

    return make


def _say(plain: Path, folder: Path, **settings: Any) -> None:
    config = json.loads((plain / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": settings}), encoding="utf-8")


METHODS = {
    "bitsandbytes, 4 bits": Method(
        "bitsandbytes",
        _by_transformers(lambda: transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")),
    ),
    "bitsandbytes, 8 bits": Method(
        "bitsandbytes", _by_transformers(lambda: transformers.BitsAndBytesConfig(load_in_8bit=True))
    ),
    "torchao, int8 weights": Method("torchao", _torchao("Int8WeightOnlyConfig")),
    "torchao, int8 weights and activations": Method("torchao", _torchao("Int8DynamicActivationInt8WeightConfig")),
    "torchao, float8 weights": Method("torchao", _torchao("Float8WeightOnlyConfig")),
    "compressed-tensors, 4 bits": Method("compressed_tensors", _compressed_tensors),
    "fp8": Method("", _fp8),
    "gptq": Method("", _claimed(quant_method="gptq", bits=4, group_size=32, desc_act=False)),
    "awq": Method("", _claimed(quant_method="awq", bits=4, group_size=32, version="gemm", zero_point=True)),
}


def main() -> None:
    """Try every method whose package is here, write the records and the page."""
    file = DOCS / RECORDS[1]
    records = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    with tempfile.TemporaryDirectory() as place:
        plain = plain_model(Path(place, "plain"))
        for i, (name, method) in enumerate(METHODS.items()):
            if method.package and find_spec(method.package) is None:
                print(f"{name}: {method.package} is not here", flush=True)
                continue
            folder = Path(place, str(i))
            folder.mkdir()
            records[name] = tried(method, plain, folder).to_json()
            print(name, records[name], flush=True)
    file.write_text(json.dumps({name: records[name] for name in METHODS if name in records}, indent=1) + "\n")
    write(DOCS)


if __name__ == "__main__":
    main()
