"""Sections `Model`, `Generator`, `Discriminator` and `TruncatedVGG`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from srgan_cli.config.base import OptionalPath, Positive, Section

OddKernel = Annotated[int, Field(ge=1, le=31)]


class ModelConfig(Section):
    """Band count, and where a run starts from."""

    in_bands: Positive = 4
    """Number of bands the networks see."""
    continue_training: OptionalPath = None
    """Checkpoint of a run to go on with (weights, optimizers, step); same as `--resume PATH`."""
    load_checkpoint: OptionalPath = None
    """Weights to start from (.safetensors or a checkpoint); everything else starts anew."""


class GeneratorConfig(Section):
    """The network that makes SR out of LR."""

    model_type: Literal["SRResNet", "rrdbnet", "esrgan", "stochastic_gan"] = "SRResNet"
    """`rrdbnet` (recommended: ESRGAN as in BasicSR and Real-ESRGAN, nearest-neighbour upsampling), `SRResNet` (with `block_type`), `esrgan` (OpenSR-SRGAN's variant) or `stochastic_gan` (a noise vector modulates every block)."""
    block_type: Literal["standard", "res", "rcab", "rrdb", "lka"] = "res"
    """Block of SRResNet: `standard` (batch norm, Tanh output), `res`, `rcab` (channel attention), `rrdb`, `lka` (large-kernel attention)."""
    large_kernel_size: OddKernel = 9
    """Kernel of the first and last convolution of SRResNet and stochastic_gan."""
    small_kernel_size: OddKernel = 3
    """Kernel of the other convolutions of SRResNet and stochastic_gan."""
    n_channels: Positive = 64
    """Feature channels of the trunk."""
    n_blocks: Positive | None = None
    """Blocks of the trunk; default 16, for rrdbnet and esrgan 23."""
    scaling_factor: Literal[1, 2, 4, 8] = 4
    """SR pixels per LR pixel along a side; 1 for rrdbnet and esrgan only."""
    growth_channels: Positive = 32
    """rrdbnet and esrgan: channels each dense layer adds."""
    res_scale: Annotated[float, Field(gt=0, le=1)] = 0.2
    """esrgan and stochastic_gan: scale of each residual branch."""
    noise_dim: Positive = 128
    """stochastic_gan: length of the noise vector."""
    out_channels: Positive | None = None
    """Output bands; default `Model.in_bands`, which training needs."""
    use_icnr: bool = True
    """Initialise every PixelShuffle convolution so that its phases start equal (ICNR): no checkerboard at the start. rrdbnet has none and needs none."""
    global_skip: Literal["none", "nearest", "bicubic"] = "none"
    """`bicubic` or `nearest`: the network learns the residual over the upsampled input and starts at that quality. `none`: as OpenSR-SRGAN."""


class DiscriminatorConfig(Section):
    """The network that tells HR from SR."""

    model_type: Literal["standard", "patchgan", "esrgan", "unet"] = "patchgan"
    """`standard`: SRGAN's, one logit per crop. `patchgan`: one logit per patch. `esrgan`: deep and wide, one logit per crop. `unet`: Real-ESRGAN's, one logit per pixel."""
    n_blocks: Positive | None = None
    """standard: convolution blocks (default 8); patchgan: strided layers (default 3)."""
    base_channels: Positive = 64
    """patchgan, esrgan and unet: channels of the first layer."""
    use_spectral_norm: bool = True
    """standard and unet: spectral normalisation."""
    linear_size: Positive = 1024
    """esrgan: width of the dense layer."""


class TruncatedVGGConfig(Section):
    """Which VGG19 features the perceptual loss compares."""

    i: Annotated[int, Field(ge=1, le=5)] = 5
    """Features before the i-th max-pooling ..."""
    j: Annotated[int, Field(ge=1, le=4)] = 4
    """... after its j-th convolution: 5, 4 is SRGAN's choice."""
    weights: OptionalPath = None
    """File with torchvision's VGG19 weights, for machines without internet; default: torchvision downloads or finds them."""
