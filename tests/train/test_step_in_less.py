"""Less memory, fewer passes, other arithmetic: the same step."""

import gc
import shutil
from functools import partial

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from srgan_cli.config import RunConfig
from srgan_cli.data.batch import Batch
from srgan_cli.errors import RefusedError
from srgan_cli.models import GENERATORS
from srgan_cli.models.spectral import settled
from srgan_cli.schedule import Plan
from srgan_cli.train import memory
from srgan_cli.train.networks import build_networks

CPU = torch.device("cpu")
PRETRAIN = Plan(1, True, 0.0, 1.0, ema_active=False)
GAN = Plan(1, False, 0.5, 1.0, ema_active=False)


def make(generator="SRResNet/rrdb", judge="patchgan", batch=4, losses=(), **training):
    model_type, _, block_type = generator.partition("/")
    config = RunConfig.model_validate(
        {
            "Model": {"in_bands": 3},
            "Data": {"hr_crop_px": 32, "train_batch_size": batch},
            "Generator": {
                "model_type": model_type,
                "block_type": block_type or "res",
                "n_channels": 16,
                "n_blocks": 2,
                "growth_channels": 4,
                "noise_dim": 4,
                "scaling_factor": 2,
                "large_kernel_size": 5,
            },
            "Discriminator": {"model_type": judge, "n_blocks": 2, "base_channels": 8},
            "Optimizers": {"gradient_clip_val": 0.0},
            "Training": {
                "precision": "fp32",
                "Losses": {"sam_weight": 0.3, "tv_weight": 0.2, **dict(losses)},
                **training,
            },
        }
    )
    return build_networks(config, CPU, offset=0.0)


@pytest.fixture
def in_float64(monkeypatch):
    """What the step computes in float32 is computed in float64 instead."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


def batch_of(count=4, dtype=torch.float32):
    torch.manual_seed(5)
    hr = torch.rand(count, 3, 32, 32, dtype=dtype) + 0.1
    valid = torch.ones(count, 1, 32, 32, dtype=dtype)
    valid[0, :, :20] = 0  # parts of unequal weight
    valid[-1, :, :, 3] = 0
    return Batch(torch.nn.functional.avg_pool2d(hr, 2), hr, valid)


def gradients(networks, plan, change=None):
    """Gradients of G and D after one step in float64, and what the step tells."""
    step = networks.step
    step.generator.double()
    step.discriminator.double()
    step.offset = step.offset.double()
    for group in (*step.optimizer_g.param_groups, *step.optimizer_d.param_groups):
        group["lr"] = 1e-3
    if change:
        change(step)
    torch.manual_seed(3)
    values = step(batch_of(dtype=torch.float64), plan)
    found = [
        p.grad for network in (step.generator, step.discriminator) for p in network.parameters()
    ]
    return [g for g in found if g is not None], values


def assert_same(one, other, tolerance=1e-10):
    assert len(one[0]) == len(other[0]) > 0
    for a, b in zip(one[0], other[0], strict=True):
        # Adam's sqrt in D's update comes between: relative to the largest gradient.
        assert float((a - b).abs().max()) <= tolerance * max(float(a.abs().max()), 1e-3)
    assert set(one[1]) == set(other[1])
    for name, value in one[1].items():
        assert float(value) == pytest.approx(float(other[1][name]), rel=1e-6, abs=1e-9), name


def apart(step):
    assert step.joint
    step.joint = False


@pytest.mark.parametrize("judge", ["patchgan", "unet"])
@pytest.mark.parametrize("kind", ["bce", "relativistic", "hinge"])
def test_hr_and_sr_in_one_pass_are_judged_as_in_two(in_float64, judge, kind):
    losses = {"relativistic_average_d": True} if kind == "relativistic" else {"adv_loss_type": kind}
    one, other = (make(judge=judge, losses=losses) for _ in range(2))
    assert_same(gradients(one, GAN), gradients(other, GAN, apart))


@pytest.mark.parametrize("judge", ["standard", "esrgan"])
def test_batch_norm_sees_hr_and_sr_apart(judge):
    assert not make(judge=judge).step.joint


def test_on_the_cpu_instance_norm_decides_the_layout_of_the_discriminator():
    for judge, expected in (("patchgan", False), ("unet", True), ("standard", True)):
        weights = [p for p in make(judge=judge).step.discriminator.parameters() if p.dim() == 4]
        weights = [p for p in weights if p.shape[1] > 1 and p.shape[2] > 1 and p.shape[0] > 1]
        layouts = {p.is_contiguous(memory_format=torch.channels_last) for p in weights}
        assert layouts == {expected}, judge


@pytest.mark.parametrize("judge", ["unet", "standard"])
def test_hr_and_sr_are_judged_by_the_same_spectral_norms(judge):
    step = make(judge=judge).step
    names = [name for name in step.discriminator.state_dict() if name.endswith("._u")]
    seen = []

    def note(network, *_):
        seen.append(torch.cat([network.state_dict()[name].clone() for name in names]))

    step.joint = False
    step.discriminator.register_forward_hook(note)
    step._judge(batch_of().hr, batch_of().hr)
    assert torch.equal(seen[0], seen[1])
    step._judge(batch_of().hr, batch_of().hr)
    assert not torch.equal(seen[1], seen[2])


def test_settled_norms_go_on_afterwards():
    network = make(judge="unet").step.discriminator.train()
    with settled(network):
        assert not network.conv1.parametrizations.weight[0].training
    assert network.conv1.parametrizations.weight[0].training
    network.eval()
    with settled(network):
        pass
    assert not network.conv1.parametrizations.weight[0].training


WITHOUT_BATCH_STATISTICS = [name for name in GENERATORS if name != "SRResNet/standard"]


@pytest.mark.parametrize("plan", [PRETRAIN, GAN], ids=["pretrain", "gan"])
@pytest.mark.parametrize("name", WITHOUT_BATCH_STATISTICS)
@pytest.mark.parametrize("parts", [2, 4])
def test_accumulated_parts_are_the_whole_batch(in_float64, name, plan, parts):
    if name == "stochastic_gan":
        pytest.skip("its noise is drawn part by part")
    whole, accumulated = (make(name, accumulate_steps=n) for n in (1, parts))
    assert_same(gradients(whole, plan), gradients(accumulated, plan))


@pytest.mark.parametrize("judge", ["standard", "esrgan", "unet"])
def test_accumulation_leaves_the_discriminator_its_whole_batch(in_float64, judge):
    whole, accumulated = (
        make(judge=judge, accumulate_steps=n, losses={"relativistic_average_d": True})
        for n in (1, 2)
    )
    assert_same(gradients(whole, GAN), gradients(accumulated, GAN))


def test_accumulation_draws_the_noise_of_a_part_once():
    step = make("stochastic_gan", accumulate_steps=2).step
    drawn = []
    draw = step.generator.draw_noise
    step.generator.draw_noise = lambda lr: drawn.append(draw(lr)) or drawn[-1]
    step(batch_of(), GAN)
    assert len(drawn) == 4
    # The backward pass begins with the last part.
    assert torch.equal(drawn[0], drawn[3])
    assert torch.equal(drawn[1], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])


class Distance(torch.nn.Module):
    """Stands for a perceptual network: not linear, a mean over the batch."""

    def forward(self, sr, hr, valid):
        return ((sr * valid).tanh() - (hr * valid).tanh()).square().mean()


def test_accumulation_averages_the_perceptual_loss(in_float64):
    def perceive(step):
        step.perceptual = step.perceive = Distance()
        step.losses = step.losses.model_copy(update={"perceptual_weight": 2.0})

    whole, accumulated = (make(accumulate_steps=n) for n in (1, 2))
    one, other = gradients(whole, GAN, perceive), gradients(accumulated, GAN, perceive)
    assert float(one[1]["train_metrics/perceptual"]) > 0
    assert_same(one, other)


@pytest.mark.parametrize("plan", [PRETRAIN, GAN], ids=["pretrain", "gan"])
@pytest.mark.parametrize("name", GENERATORS)
def test_recomputed_blocks_have_the_same_gradients(in_float64, name, plan):
    kept, again = (make(name, checkpoint_blocks=on) for on in (False, True))
    assert_same(gradients(kept, plan), gradients(again, plan))
    for one, other in zip(
        kept.step.generator.buffers(), again.step.generator.buffers(), strict=True
    ):
        assert torch.equal(one, other)
    assert list(kept.ema.model.state_dict()) == list(again.step.generator.state_dict())


def test_batch_norms_count_a_batch_once_however_it_is_computed():
    networks = make("SRResNet/standard", checkpoint_blocks=True, accumulate_steps=2)
    networks.step(batch_of(), GAN)
    norms = [m for m in networks.step.generator.modules() if isinstance(m, _BatchNorm)]
    assert norms
    assert {norm.momentum for norm in norms} == {0.1}
    assert {int(norm.num_batches_tracked) for norm in norms} == {2}  # two parts


def bytes_kept(networks):
    """What a forward pass of the generator keeps for the backward pass."""
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    step = networks.step
    weights = {p.untyped_storage().data_ptr() for p in step.generator.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        sr = step._super_resolve(batch_of().lr)
        del sr
    return sum(size for pointer, size in kept.items() if pointer not in weights)


@pytest.mark.parametrize("name", ["SRResNet/rrdb", "rrdbnet", "esrgan"])
def test_recomputed_blocks_keep_a_fraction(name):
    kept, again = (bytes_kept(make(name, checkpoint_blocks=on)) for on in (False, True))
    assert 0 < again < 0.6 * kept


def test_accumulation_keeps_next_to_nothing_between_the_parts():
    whole, accumulated = (bytes_kept(make(accumulate_steps=n)) for n in (1, 4))
    assert accumulated < 0.1 * whole


def test_a_batch_that_cannot_be_cut_is_refused():
    with pytest.raises(ValueError, match="3 does not divide Data.train_batch_size 8; use 2"):
        make(batch=8, accumulate_steps=3)


def test_a_nan_in_one_part_spoils_no_weights():
    for plan in (PRETRAIN, GAN):
        networks = make(accumulate_steps=2)
        before = [p.detach().clone() for p in networks.step.generator.parameters()]
        spoiled = batch_of()
        spoiled.lr[3, 0, 2, 2] = torch.nan
        values = networks.step(spoiled, plan)
        assert float(values.get("skipped_g", values["skipped"])) == 1
        for old, new in zip(before, networks.step.generator.parameters(), strict=True):
            assert torch.equal(old, new)


# bfloat16


@pytest.mark.parametrize("judge", ["patchgan", "standard", "unet"])
def test_in_bf16_whatever_is_told_or_updated_is_float32(judge):
    networks = make(judge=judge, precision="bf16", losses={"r1_gamma": 1.0, "r1_interval": 1})
    step, seen = networks.step, []
    step.generator.last_layer().register_forward_hook(lambda *a: seen.append(a[2].dtype))
    values = step(batch_of(), GAN, measure=True) | step(batch_of(), PRETRAIN)
    assert seen == [torch.bfloat16] * 2  # the networks themselves
    assert {value.dtype for value in values.values()} == {torch.float32}
    assert {logits.dtype for logits in step._judge(batch_of().hr, batch_of().hr)} == {torch.float32}
    for network in (step.generator, step.discriminator):
        assert {p.dtype for p in network.parameters()} == {torch.float32}
        assert {p.grad.dtype for p in network.parameters()} == {torch.float32}
    for optimizer in (step.optimizer_g, step.optimizer_d):
        moments = [v for state in optimizer.state.values() for v in state.values()]
        assert {moment.dtype for moment in moments} == {torch.float32}


def test_spectral_norms_are_computed_in_float32_under_autocast(monkeypatch):
    """On CUDA, autocast would compute the products of their power iteration in bfloat16."""
    step = make(judge="unet", precision="bf16").step
    seen, mv = [], torch.mv

    def product(matrix, vector):
        seen.append((torch.is_autocast_enabled("cpu"), matrix.dtype, vector.dtype))
        return mv(matrix, vector)

    monkeypatch.setattr(torch, "mv", product)
    with step.arithmetic():
        assert torch.is_autocast_enabled("cpu")
        step.discriminator(batch_of().hr)
    assert set(seen) == {(False, torch.float32, torch.float32)}


def test_fifty_steps_in_bf16_track_float32():
    found = {}
    for precision in ("fp32", "bf16"):
        networks = make(precision=precision)
        for group in networks.step.optimizer_g.param_groups:
            group["lr"] = 2e-4
        losses = []
        for at in range(50):
            plan = PRETRAIN if at < 30 else GAN
            losses.append(float(networks.step(batch_of(), plan)["train_metrics/l1"]))
        found[precision] = losses
    assert found["fp32"][49] < 0.5 * found["fp32"][0]  # something was learnt
    assert found["fp32"] != found["bf16"]
    for exact, rough in zip(found["fp32"], found["bf16"], strict=True):
        assert rough == pytest.approx(exact, rel=0.05)


# Compiled


def test_without_a_compiler_compile_is_refused(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("InvalidCxxCompiler: no compiler\nand much more")

    monkeypatch.setattr(torch, "compile", fail)
    with pytest.raises(RefusedError, match=r"Training.compile is true.*no compiler\)") as caught:
        make(compile=True)
    assert "more" not in caught.value.message
    assert "Training.compile: false" in caught.value.hint


@pytest.fixture
def traced(monkeypatch):
    """torch.compile without a C++ compiler: traced, run by PyTorch itself."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("more", [{}, {"checkpoint_blocks": True}, {"accumulate_steps": 2}])
def test_compiled_networks_learn_the_same_under_the_same_names(traced, more):
    plain, compiled = make(**more), make(compile=True, **more)
    assert compiled.step.generate is not compiled.step.generator
    for plan in (PRETRAIN, GAN):
        plain.step(batch_of(), plan)
        compiled.step(batch_of(), plan)
    one, other = (n.step.generator.state_dict() for n in (plain, compiled))
    assert list(one) == list(other)
    for name, tensor in one.items():
        assert torch.allclose(tensor, other[name], atol=1e-6), name
    plain.step.generator.load_state_dict(other)
    compiled.step.generator.load_state_dict(one)
    assert list(compiled.ema.model.state_dict()) == list(one)


@pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")
def test_compiled_for_real_the_step_is_the_same():
    plain, compiled = make("SRResNet/res"), make("SRResNet/res", compile=True)
    for plan in (PRETRAIN, GAN):
        ours, theirs = (n.step(batch_of(), plan, measure=True) for n in (plain, compiled))
        assert set(ours) == set(theirs)
        for name, value in ours.items():
            assert float(theirs[name]) == pytest.approx(float(value), rel=1e-3, abs=1e-6), name
    torch.compiler.reset()


# Garbage


def test_garbage_is_collected_between_steps_only(monkeypatch):
    monkeypatch.setattr(memory, "_WARM_UP_STEPS", 2)
    monkeypatch.setattr(memory, "_SWEEP_EVERY", 5)
    collected = []
    monkeypatch.setattr(memory.gc, "collect", lambda: collected.append(sweeper.steps))
    assert gc.isenabled()
    with memory.Sweeper() as sweeper:
        assert not gc.isenabled()
        for _ in range(11):
            sweeper.step_done()
        assert gc.get_freeze_count() > 0
    assert collected == [2, 5, 10]
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize("training", [{}, {"checkpoint_blocks": True, "accumulate_steps": 2}])
def test_a_step_leaves_no_cycles_that_hold_tensors(training):
    step = make(**training).step
    counts = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(4):
            step(batch_of(), GAN)
            counts.append(sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects()))
    finally:
        gc.enable()
    assert counts[1] == counts[2] == counts[3]
