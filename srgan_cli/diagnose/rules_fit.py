"""FIT01-03, GAN05: whether anything is learned, and whether it holds on other images."""

from __future__ import annotations

import math

import numpy as np

from srgan_cli import runfolder as names
from srgan_cli.diagnose import knobs, stats
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.balance import balance_of
from srgan_cli.diagnose.lag import validation_over_training
from srgan_cli.diagnose.log import TRAIN_L1, VAL_L1, RunLog
from srgan_cli.diagnose.report import Finding, NotChecked, Remedy
from srgan_cli.diagnose.series import Series


def fit01(log: RunLog) -> Finding | NotChecked | None:
    """Overfitting: training improves while validation gets worse, within the adversarial phase at full weight.

    Never judged across the start of the GAN, where PSNR and L1 get worse by design. More scenes, more augmentation, or an
    earlier stop (`weights/best_gan.safetensors`).
    """
    if log.t_adv is None:
        l1, train = log.get(VAL_L1), log.get(TRAIN_L1)
    else:
        l1, train = log.full(VAL_L1), log.full(TRAIN_L1)
    if len(l1) < limit.OVERFIT_VALIDATIONS:
        return NotChecked(
            "FIT01", f"{len(l1)} validations in the last phase; needs {limit.OVERFIT_VALIDATIONS}"
        )
    smooth = stats.running_median(l1.values, 5)
    best = int(np.argmin(smooth))
    age = (len(smooth) - 1 - best) / len(smooth)
    rise = float(smooth[-1] - smooth[best])
    trend = stats.mann_kendall(l1.values[best:])
    fall = _fall(train)
    overfits = (
        age >= limit.OVERFIT_AGE
        and rise > limit.OVERFIT_RISE * smooth[best]
        and rise > limit.OVERFIT_SIGMAS * stats.robust_sigma(l1.values) / math.sqrt(2)
        and trend.direction > 0
        and trend.p < limit.OVERFIT_P
        and fall > limit.OVERFIT_TRAIN_FALL
    )
    if not overfits:
        return None
    step = int(l1.steps[best])
    return Finding(
        "FIT01",
        "warn",
        "The generator overfits",
        f"validation L1 has risen {rise / float(smooth[best]):.0%} since its best at step {step}, while training L1 fell {fall:.0%}",
        (step, int(l1.steps[-1])),
        "run" if log.t_adv is None else "adversarial",
        {"best_step": step, "rise": rise, "train_fall": fall, "p": trend.p},
        (
            Remedy(
                "Data.augment",
                log.config.data.augment if log.config else None,
                True,
                "flips and rotations are free data",
            ),
            Remedy(
                "Training.max_steps",
                log.max_steps,
                int(stats.round_nicely(step)),
                "or stop near the best; or give more scenes",
            ),
        ),
    )


def _fall(train: Series) -> float:
    """Relative fall of the training loss from the first to the last fifth of the window."""
    fifth = max(3, len(train) // 5)
    if len(train) < 2 * fifth:
        return 0.0
    first, last = float(np.median(train.values[:fifth])), float(np.median(train.values[-fifth:]))
    return 1 - last / first if first > 0 else 0.0


def fit02(log: RunLog) -> Finding | NotChecked | None:
    """Validation is much harder than training: its L1 is more than one and a half times the training L1.

    A note: the validation scenes may simply be richer than the others. Where they are not, the generator has learned its
    scenes rather than the task, and more scenes help. A lagging average is reported as EMA02 instead.
    """
    ratio = validation_over_training(log)
    if ratio is None:
        return NotChecked("FIT02", "too few validations, or too few rows of training L1")
    if ratio <= limit.GENERALISATION_GAP:
        return None
    return Finding(
        "FIT02",
        "info",
        "Validation is much worse than training",
        f"validation L1 is {ratio:.2f} times the training L1 at the end (usual: 0.85 to 1.2)",
        (int(log.get(VAL_L1).steps[-3]), int(log.get(VAL_L1).steps[-1])),
        "run",
        {"validation_over_training": ratio},
        (
            Remedy(
                "Data.hr", None, "more and more varied scenes", "as rich as those to validate on"
            ),
        ),
        "medium",
    )


def fit03(log: RunLog) -> Finding | NotChecked | None:
    """Nothing was learned: the content loss did not improve over the whole pretraining.

    Less than 5 % better, and no significant trend. The rate is far too small or far too large, or LR and HR do not belong
    together.
    """
    part = log.pre if log.t_adv is None or log.t_adv > log.first_step else log.adv
    train = part(TRAIN_L1) if len(part(TRAIN_L1)) else part(names.G_CONTENT)
    if len(train) < 2 * limit.MIN_TREND_ROWS:
        return NotChecked(
            "FIT03",
            f"{len(train)} rows of content loss in the first phase; needs {2 * limit.MIN_TREND_ROWS}",
        )
    if log.config and (log.config.model.load_checkpoint or log.config.model.continue_training):
        return NotChecked(
            "FIT03", "the run started from given weights, which may be as good already"
        )
    # Most is learned in the very first steps; a long converged phase hides that in its fifths.
    start, end = float(np.median(train.values[:3])), float(np.median(train.values[-3:]))
    fall = max(_fall(train), 1 - end / start if start > 0 else 0.0)
    if _learned_before_the_second_row(train, end):
        return None
    for series in (train, part(VAL_L1)):
        trend = stats.mann_kendall(series.values)
        if fall >= limit.NOTHING_LEARNED or (trend.direction < 0 and trend.p < limit.TREND_P):
            return None
    g = knobs.g_rate(log)
    return Finding(
        "FIT03",
        "warn",
        "Nothing was learned",
        f"{'L1' if len(part(TRAIN_L1)) else 'the content loss'} changed by {-fall:+.1%} between steps {train.window[0]} and {train.window[1]}, without a trend",
        train.window,
        "pretraining" if log.t_adv != log.first_step else "run",
        {"fall": fall},
        (
            Remedy(
                "Optimizers.optim_g_lr",
                g,
                1e-4 if g is None or g < 1e-5 or g > 1e-3 else stats.round_nicely(2 * g),
                "a usual rate; and check that LR and HR belong together",
            ),
        ),
        "medium",
    )


def _learned_before_the_second_row(train: Series, end: float) -> bool:
    """Whether the first row is the worst of all by far: a sparse log shows no more of the descent."""
    first = float(train.values[0])
    return first == float(train.values.max()) and first > limit.FIRST_ROW_WORSE * end


def gan05(log: RunLog) -> Finding | NotChecked | None:
    """The discriminator knows its training images by heart.

    On those it tells real from generated, on validation images it does not: it takes unseen real images for generated ones. What
    it then teaches is how these crops look, not how imagery looks. More scenes and augmentation, an R1 penalty,
    spectral normalisation.
    """
    balance = balance_of(log)
    if isinstance(balance, str):
        return NotChecked("GAN05", balance)
    if balance.form == "hinge":
        return NotChecked("GAN05", "a hinge discriminator gives no probability")
    if log.config and log.config.discriminator.model_type in _WITH_BATCH_NORM:
        kind = log.config.discriminator.model_type
        return NotChecked("GAN05", f"the batch norm of {kind} answers differently in validation")
    seen = _probabilities(log, names.D_REAL, names.D_FAKE)
    unseen = _probabilities(log, names.VAL_D_REAL, names.VAL_D_FAKE)
    if seen is None or unseen is None:
        return NotChecked(
            "GAN05",
            f"fewer than {limit.MIN_LAG_VALIDATIONS} adversarial validations with {names.VAL_D_REAL}",
        )
    separation, elsewhere = (real - fake for real, fake in (seen, unseen))
    # Karras et al. 2020, eq. 1: 0 = as sure on unseen images, 1 = takes them for generated.
    memorised = (seen[0] - unseen[0]) / separation if separation > 0 else 0.0
    if (
        separation <= limit.MEMORISES_Q
        or elsewhere >= limit.MEMORISES_SHARE * separation
        or memorised <= limit.MEMORISES_REAL
    ):
        return None
    return Finding(
        "GAN05",
        "warn" if log.config else "info",
        "The discriminator memorises its training images",
        f"it separates training images by {separation:.2f}, validation images by {elsewhere:.2f}: "
        f"D(y) is {seen[0]:.2f} on those it knows and {unseen[0]:.2f} on others",
        balance.window,
        "adversarial",
        {"train_separation": separation, "val_separation": elsewhere, "overfit": memorised},
        _harder_to_memorise(log),
        "high" if log.config else "medium",
    )


_WITH_BATCH_NORM = ("standard", "esrgan")


def _probabilities(log: RunLog, real: str, fake: str) -> tuple[float, float] | None:
    """Medians of D on real and on generated images over the last rows; None = too few."""
    series = [log.adv(name) for name in (real, fake)]
    if min(map(len, series)) < limit.MIN_LAG_VALIDATIONS:
        return None
    a, b = (float(np.median(stats.tail(s.values, limit.TAIL_SHARE, 5))) for s in series)
    return a, b


def _harder_to_memorise(log: RunLog) -> tuple[Remedy, ...]:
    if log.config is None:
        return (
            Remedy("Training.Losses.r1_gamma", None, 10.0, "R1 keeps D smooth around real images"),
            Remedy("Data.augment", None, True, "flips and rotations are free data"),
        )
    remedies = []
    if not log.config.data.augment:
        why = "flips and rotations are free data"
        remedies.append(Remedy("Data.augment", False, True, why))
    if log.config.training.losses.r1_gamma == 0:
        why = "R1 keeps D smooth around real images"
        remedies.append(Remedy("Training.Losses.r1_gamma", 0.0, 10.0, why))
    network = log.config.discriminator
    if network.model_type == "unet" and not network.use_spectral_norm:
        why = "bounds what D can express"
        remedies.append(Remedy("Discriminator.use_spectral_norm", False, True, why))
    remedies.append(Remedy("Data.hr", None, "more scenes", "what is seen once cannot be memorised"))
    return tuple(remedies)
