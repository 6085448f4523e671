"""Sections `Training` (with `EMA` and `Losses`), `Optimizers` and `Schedulers`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from srgan_cli.config.base import Count, OptionalPath, Positive, Rate, Section, Weight

Betas = tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]]
Factor = Annotated[float, Field(gt=0, lt=1)]
MetricName = Literal[
    "val_metrics/l1",
    "val_metrics/sam",
    "val_metrics/perceptual",
    "val_metrics/tv",
    "val_metrics/psnr",
    "val_metrics/ssim",
    "val_metrics/ergas",
    "validation/DISC_adversarial_loss",
]


class EMAConfig(Section):
    """Exponential moving average of the generator: what validation and export use."""

    enabled: bool = True
    """Keep an average: theta_ema <- decay * theta_ema + (1 - decay) * theta after every generator update."""
    decay: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Share of the average that is kept at each update."""
    update_after_step: Count = 0
    """The average starts as a copy of the generator at this step; before it the live generator is used."""
    use_num_updates: bool = True
    """Start with a faster average: decay = min(decay, (1 + n) / (10 + n)) at the n-th update."""
    device: str | None = None
    """OpenSR-SRGAN's key; the average lies beside the generator."""


class LossesConfig(Section):
    """total = l1 * L1 + sam * SAM + perceptual * Perceptual + tv * TV + adv_weight(step) * Adv. Pretraining uses plain L1 alone."""

    l1_weight: Weight = 1.0
    """Mean absolute error over all bands."""
    sam_weight: Weight = 0.05
    """Spectral angle in radians between SR and HR spectra."""
    perceptual_weight: Weight = 0.0
    """Distance of VGG19 features; needs torchvision's weights."""
    perceptual_metric: Literal["vgg", "lpips"] = "vgg"
    """Network of the perceptual loss: VGG19 features, or LPIPS (on AlexNet; `pip install 'srgan-cli[lpips]'`)."""
    lpips_weights: OptionalPath = None
    """lpips: file with torchvision's AlexNet weights, for machines without internet; default: torchvision downloads or finds them."""
    fixed_idx: tuple[Count, ...] | None = None
    """Bands (counted from 0) that the perceptual loss sees as R, G, B; default: the first three. Of one or two bands the last one is repeated."""
    tv_weight: Weight = 0.0
    """Total variation of SR: suppresses noise, blurs when large."""
    adv_loss_type: Literal["bce", "hinge", "wasserstein"] = "bce"
    """Adversarial objective."""
    relativistic_average_d: bool = False
    """bce only: relativistic-average GAN, as in ESRGAN. D(y) and D(G(x)) are then relative probabilities."""
    adv_loss_beta: Weight = 1e-3
    """Adversarial weight after the ramp."""
    adv_loss_schedule: Literal["linear", "cosine"] = "cosine"
    """Shape of the adversarial ramp."""
    r1_gamma: Weight = 0.0
    """R1 gradient penalty on real images, gamma / 2 * |grad D|^2; 0 = off."""
    r1_interval: Positive = 16
    """R1 is computed every so many steps and weighted accordingly."""
    max_val: Rate = 1.0
    """Peak value in network units that PSNR and SSIM assume."""
    ssim_win: Annotated[int, Field(ge=3, le=31)] = 11
    """Window of SSIM in pixels, odd."""
    randomize_bands: bool | None = None
    """OpenSR-SRGAN's key, never read there either."""


class TrainingConfig(Section):
    """The schedule and the machine."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    """auto (CUDA when there is one, else CPU), cpu, cuda, cuda:N."""
    gpus: tuple[Count, ...] = ()
    """CUDA devices to train on, one process for each; they share every batch of `Data.train_batch_size` crops (OpenSR-SRGAN's batch is that of each GPU)."""
    num_processes: Positive | None = None
    """Processes on this machine that share every batch; default: one for each of `gpus`, else 1. For CPUs with several sockets, and instead of `gpus` for the first so many. Under torchrun or SLURM the launcher decides."""
    sync_batch_norm: bool = True
    """With several GPUs, batch norm sees the whole batch; false = each process's part of it. On CPUs always its part."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the networks; auto = bf16 where the device computes it natively. Losses and norms are always fp32."""
    compile: bool = False
    """Compile the generator and VGG with torch.compile: minutes at the start; whether steps get faster depends on network and device, `--dry-run` tells. Needs a C++ compiler, on GPUs Triton."""
    accumulate_steps: Positive = 1
    """Pass `Data.train_batch_size` through the generator in so many parts, one after the other: less memory, the same step. In the adversarial phase it costs a second forward pass of the generator. Batch norm (block_type standard) sees the parts one by one."""
    checkpoint_blocks: bool = False
    """Compute the activations of the generator's blocks again in the backward pass instead of keeping them: much less memory, about a quarter more time."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of everything random."""
    max_steps: Positive | None = None
    """Length of the run in steps (one step = one batch = one generator update); default: from `max_epochs`."""
    max_epochs: Positive = 100
    """Length in passes over the imagery, where `max_steps` is not given."""
    val_check_interval: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0)] = 1.0
    """Validate every so many steps (an integer) or passes over the imagery (a float such as 1.0)."""
    limit_val_batches: Positive | None = None
    """Use at most so many validation batches."""
    pretrain_g_only: bool = True
    """Train the generator alone on plain L1 first."""
    g_pretrain_steps: Annotated[int, Field(ge=-1)] = 5000
    """Steps of this pretraining; -1 = for ever."""
    adv_loss_ramp_steps: Count = 2500
    """Steps over which the adversarial weight rises from 0 to `adv_loss_beta`."""
    label_smoothing: bool = True
    """Real target 0.9 instead of 1.0 for the discriminator; the generator always aims at 1.0."""
    checkpoint_every: Positive = 500
    """Steps between checkpoints."""
    keep_last: Positive = 3
    """Numbered checkpoints to keep."""
    keep_every: Positive | None = None
    """Also write a checkpoint every so many steps that is kept for ever."""
    early_stop_patience: Count = 0
    """End the run after so many validations at full adversarial weight without improvement of `Schedulers.metric_g`; 0 = never."""
    guard: Literal["warn", "stop", "off"] = "warn"
    """At every validation apply the cheap rules of `srgan diagnose` to the run: warn tells what is wrong, stop also saves and ends the run on an error."""
    max_nonfinite_steps: Positive = 20
    """Steps with a non-finite loss or gradient in a row after which the run stops."""
    find_unused_parameters: bool | None = None
    """OpenSR-SRGAN's key; not needed here."""
    ema: EMAConfig = Field(EMAConfig(), alias="EMA")
    losses: LossesConfig = Field(LossesConfig(), alias="Losses")

    @property
    def processes(self) -> int:
        """Processes to start on this machine."""
        if self.num_processes is not None:
            return self.num_processes
        return max(len(self.gpus), 1) if self.device in ("auto", "cuda") else 1


class OptimizersConfig(Section):
    """Adam for both networks, two-time-scale (TTUR)."""

    optim_g_lr: Rate = 1e-4
    """Learning rate of the generator."""
    optim_d_lr: Rate | None = None
    """Learning rate of the discriminator; default: half of `optim_g_lr`."""
    betas: Betas = (0.0, 0.99)
    """Adam's betas."""
    betas_g: Betas | None = None
    """The generator's betas, where they differ: (0.9, 0.99) pretrains faster."""
    eps: Rate = 1e-7
    """Adam's epsilon."""
    weight_decay_g: Weight = 0.0
    """Weight decay of the generator's kernels; biases, norms and PReLU slopes never decay."""
    weight_decay_d: Weight = 0.0
    """Weight decay of the discriminator's kernels."""
    gradient_clip_val: Weight = 1.0
    """Clip the global gradient norm of each network to this value; 0 = off."""

    @property
    def d_rate(self) -> float:
        """The discriminator's learning rate with its default resolved."""
        return self.optim_g_lr / 2 if self.optim_d_lr is None else self.optim_d_lr


class SchedulersConfig(Section):
    """Warm-up of the generator, and one plateau scheduler per network, stepped at every validation."""

    g_warmup_steps: Count = 500
    """Steps over which the generator's rate rises from 0; 0 = off."""
    g_warmup_type: Literal["linear", "cosine"] = "cosine"
    """Shape of the warm-up."""
    metric_g: MetricName = "val_metrics/l1"
    """Metric that the generator's scheduler watches."""
    metric_d: MetricName = "validation/DISC_adversarial_loss"
    """Metric that the discriminator's scheduler watches, from the first adversarial validation on."""
    patience_g: Count = 10
    """Validations without improvement before the generator's rate is cut."""
    patience_d: Count = 10
    """The same for the discriminator."""
    factor_g: Factor = 0.5
    """A cut multiplies the generator's rate by this."""
    factor_d: Factor = 0.5
    """A cut multiplies the discriminator's rate by this."""
    cooldown_g: Count = 0
    """Validations after a cut in which none is counted."""
    cooldown_d: Count = 0
    """The same for the discriminator."""
    min_lr_g: Weight = 1e-7
    """Floor of the generator's rate."""
    min_lr_d: Weight = 1e-7
    """Floor of the discriminator's rate."""
    threshold: Weight = 1e-4
    """Relative change that counts as an improvement."""
    verbose: bool | None = None
    """OpenSR-SRGAN's key; every cut is logged."""
