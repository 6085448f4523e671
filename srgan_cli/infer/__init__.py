"""Super-resolving GeoTIFFs of any size; from Python: `load("ema.safetensors").infer_file(src, dst)`."""

from srgan_cli.infer.model import Model, load
from srgan_cli.infer.options import InferOptions, InferResult

__all__ = ["InferOptions", "InferResult", "Model", "load"]
