"""Kernels, attention engines, compile and mixed precision against eager, on the GPU of this machine.

    python benchmarks/gpu.py                                  on a GPU
    TRITON_INTERPRET=1 python benchmarks/gpu.py --toy         anywhere; its times mean nothing

Every variant is held to the eager one before it is timed; one that disagrees is reported and not timed.
Beside each time stand the ratio to eager and the share of a bound measured in the same run: bytes moved
over the speed of a plain copy for the kernels, which cannot be faster than memory.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import Timing, describe_machine, measure, print_table
from financial_model.base.config import QUANTILE_LEVELS, ModelSettings
from financial_model.datasets.loaders import Batch
from financial_model.kernels import triton_optimized_model as kernels
from financial_model.models.flash_attention_layer import attention, attention_engine
from financial_model.models.interface import InputSizes
from financial_model.models.registry import build_model
from financial_model.training.improved_loss import LOSSES

STYLES = ("size", "value", "volatility", "momentum", "liquidity")
CONDITIONS = {"industry": 12, **{f"style_{name}": 6 for name in STYLES}, "regime": 5}
Run = Callable[[], Any]


@dataclass(frozen=True)
class Scale:
    """How large the measured work is."""

    rows: int = 4_000_000
    features: int = 8
    context_length: int = 60
    batch: int = 4096
    width: int = 256
    heads: int = 8
    layers: int = 4
    sequence: int = 512
    summaries: int = 40
    repeats: int = 7
    least_s: float = 0.05


TOY = Scale(
    rows=600,
    context_length=24,
    batch=6,
    width=16,
    heads=2,
    layers=1,
    sequence=10,
    summaries=5,
    repeats=1,
    least_s=0,
)


@dataclass(frozen=True)
class Variant:
    """One way to do the same work: `check` gives its result, `run` is what is timed."""

    name: str
    check: Run
    run: Run


class Bench:
    """The device, the scale, and how to compile, wait and compare on it."""

    def __init__(self, device: str, scale: Scale) -> None:
        self.device, self.scale = torch.device(device), scale
        # The toy run asks whether everything works together; a real compiler would take minutes.
        self.backend = "eager" if scale is TOY else "inductor"
        self.wait: Run = torch.cuda.synchronize if self.device.type == "cuda" else (lambda: None)
        self.half = torch.bfloat16

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return torch.compile(function, backend=self.backend)

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(*shape, device=self.device, dtype=dtype)

    def time(self, run: Run) -> Timing:
        return measure(run, self.scale.repeats, self.scale.least_s, self.wait)

    def rows_of(
        self, title: str, variants: list[Variant], tolerance: float, bound_s: float | None = None
    ) -> Iterator[tuple[Any, ...]]:
        """A table row for each variant; the first is the one that the others are held to."""
        expected, reference = variants[0].check(), None
        for variant in variants:
            error = largest_error(variant.check(), expected)
            if error > tolerance:
                yield title, variant.name, f"WRONG: off by {error:.2g}", "", "", f"{error:.1e}"
                continue
            timing = self.time(variant.run)
            reference = reference or timing
            ratio = f"{reference.median_s / timing.median_s:.2f}x"
            share = f"{bound_s / timing.median_s:.0%}" if bound_s else ""
            yield title, variant.name, timing, ratio, share, f"{error:.1e}"


COLUMNS = (
    "work",
    "variant",
    "median (fastest to slowest)",
    "against the first",
    "of the bound",
    "largest error",
)


def largest_error(seen: Any, expected: Any) -> float:
    """The largest difference between two tensors or tuples of them, over the largest expected value."""
    if isinstance(expected, Tensor):
        seen, expected = (seen,), (expected,)
    pairs = zip(seen, expected, strict=True)
    return max(
        ((s.double() - e.double()).abs().max() / e.double().abs().max().clamp(min=1e-12)).item()
        for s, e in pairs
    )


def copy_speed(bench: Bench) -> float:
    """Bytes a second that a plain copy reads and writes together."""
    source = bench.normal(bench.scale.rows * bench.scale.features)
    target = torch.empty_like(source)
    return 2 * source.nbytes / bench.time(lambda: target.copy_(source)).median_s


def kernel_rows(bench: Bench, bytes_per_s: float) -> Iterator[tuple[Any, ...]]:
    """The three fused operations: eager, compiled, Triton where it is there."""
    scale = bench.scale
    has_triton = kernels.kernel_engine(bench.device.type) == "triton"

    features = bench.normal(scale.rows, scale.features)
    last = torch.randint(scale.context_length, scale.rows, (scale.batch,), device=bench.device)
    first = torch.zeros_like(last)
    context = (features, last, first, scale.context_length)
    moved = 2 * scale.batch * scale.context_length * scale.features * features.element_size()
    functions: dict[str, Callable[..., Any]] = {
        "eager": kernels.gather_windows_eager,
        "compiled": bench.compiled(kernels.gather_windows_eager),
    }
    if has_triton:
        functions["triton"] = kernels.gather_windows
    variants = [
        Variant(name, lambda f=f: f(*context), lambda f=f: f(*context)) for name, f in functions.items()
    ]
    yield from bench.rows_of("gather_windows", variants, 1e-3, moved / bytes_per_s)

    for dtype in (torch.float32, bench.half):
        x = bench.normal(scale.batch * scale.context_length, scale.width, dtype=dtype).requires_grad_()
        weight, bias = (bench.normal(scale.width, dtype=dtype).requires_grad_() for _ in range(2))
        functions = {
            "eager": kernels.normalise_rows_eager,
            "compiled": bench.compiled(kernels.normalise_rows_eager),
        }
        if has_triton:
            functions["triton"] = kernels.normalise_rows
        variants = [gradient_variant(name, f, (x, weight, bias)) for name, f in functions.items()]
        # Forward reads and writes x once; backward reads x and the gradient, and writes one.
        yield from bench.rows_of(
            f"normalise_rows {name_of(dtype)}", variants, tolerance(dtype), 5 * x.nbytes / bytes_per_s
        )

    layout = kernels.TableLayout(list(CONDITIONS.values()), [32] + [16] * 6)
    flat = bench.normal(layout.size).requires_grad_()
    columns = [torch.randint(0, n, (scale.batch,), device=bench.device) for n in CONDITIONS.values()]
    indices = torch.stack(columns, 1)
    functions = {
        "eager": lambda flat: kernels.embed_conditions_eager(indices, flat, layout),
        "compiled": bench.compiled(lambda flat: kernels.embed_conditions_eager(indices, flat, layout)),
    }
    if has_triton:
        functions["triton"] = lambda flat: kernels.embed_conditions(indices, flat, layout)
    variants = [gradient_variant(name, f, (flat,)) for name, f in functions.items()]
    yield from bench.rows_of(
        "embed_conditions", variants, 1e-3, 2 * 4 * scale.batch * layout.width / bytes_per_s
    )


def attention_rows(bench: Bench) -> Iterator[tuple[Any, ...]]:
    """The engines that this machine has, forward and backward, causal."""
    scale = bench.scale
    for dtype in (torch.float32, bench.half):
        shape = (max(scale.batch // 64, 2), scale.heads, scale.sequence, scale.width // scale.heads)
        inputs = tuple(bench.normal(*shape, dtype=dtype).requires_grad_() for _ in range(3))
        engines = ["plain", "sdpa"]
        if attention_engine(bench.device, dtype) == "flash_attn":
            engines.append("flash_attn")
        variants = [
            gradient_variant(
                name, lambda q, k, v, name=name: attention(q, k, v, causal=True, engine=name), inputs
            )
            for name in engines
        ]
        yield from bench.rows_of(
            f"attention {name_of(dtype)}, {scale.sequence} positions", variants, tolerance(dtype)
        )


def training_rows(bench: Bench) -> Iterator[tuple[Any, ...]]:
    """One training step of each model at its default sizes: eager, compiled, in mixed precision, both."""
    scale = bench.scale
    settings = ModelSettings(
        context_length=scale.context_length,
        hidden_size=scale.width,
        layers=scale.layers,
        heads=scale.heads,
        dropout=0,
    )
    sizes = InputSizes(scale.features, scale.context_length, scale.summaries, 8, CONDITIONS)
    batch, loss = make_batch(bench, sizes), LOSSES["trend_aware"]()
    for name in ("conditional", "transformer", "lstm"):
        torch.manual_seed(0)
        model = build_model(sizes, replace(settings, model=name), QUANTILE_LEVELS).to(bench.device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)  # every variant steps from the same weights
        compiled = bench.compiled(model)
        variants = []
        for label, forward, dtype in (
            ("eager", model, None),
            ("compiled", compiled, None),
            ("eager, mixed precision", model, bench.half),
            ("compiled, mixed precision", compiled, bench.half),
        ):

            def compute(forward: Callable[..., Any] = forward, dtype: torch.dtype | None = dtype) -> Tensor:
                with torch.autocast(bench.device.type, dtype) if dtype else nullcontext():
                    output = forward(batch)
                return loss(output, batch)[0]

            def step(
                compute: Callable[[], Tensor] = compute, optimizer: torch.optim.Optimizer = optimizer
            ) -> None:
                optimizer.zero_grad(set_to_none=True)
                compute().backward()
                optimizer.step()

            variants.append(Variant(label, lambda compute=compute: compute().detach(), step))
        yield from bench.rows_of(f"training step {name}, batch {scale.batch}", variants, 0.02)


def make_batch(bench: Bench, sizes: InputSizes) -> Batch:
    size = bench.scale.batch
    conditions = [torch.randint(0, n, (size,), device=bench.device) for n in sizes.conditions.values()]
    place = torch.arange(size, device=bench.device)
    return Batch(
        window=bench.normal(size, sizes.context_length, sizes.sequence),
        summary=bench.normal(size, sizes.summary),
        market=bench.normal(size, sizes.market),
        conditions=torch.stack(conditions, 1),
        volatility=bench.normal(size).abs(),
        target=bench.normal(size, 5),
        label=bench.normal(size),
        session=place // 300,
        row=place,
    )


def gradient_variant(name: str, function: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> Variant:
    """Forward and backward; what is compared is the result and every gradient."""
    like = function(*inputs).detach()
    generator = torch.Generator(like.device).manual_seed(0)  # every variant gets the same gradient from above
    above = torch.randn(like.shape, generator=generator, device=like.device).to(like.dtype)

    def both() -> tuple[Tensor, ...]:
        out = function(*inputs)
        return out.detach(), *torch.autograd.grad(out, inputs, above)

    return Variant(name, both, both)


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def tolerance(dtype: torch.dtype) -> float:
    return 1e-3 if dtype == torch.float32 else 5e-2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--toy", action="store_true", help="tiny sizes, on the CPU where there is no GPU")
    options = parser.parse_args()
    if not (options.toy or torch.cuda.is_available()):
        sys.exit("No CUDA device here. --toy runs everything at tiny sizes on the CPU.")
    bench = Bench("cuda" if torch.cuda.is_available() else "cpu", TOY if options.toy else Scale())
    torch.manual_seed(0)
    print(describe_machine("torch", "triton", "flash-attn"))
    print(torch.cuda.get_device_name() if bench.device.type == "cuda" else "no GPU: times below mean nothing")
    print(f"kernels: {kernels.kernel_engine(bench.device.type)}; attention: ", end="")
    print(
        ", ".join(f"{attention_engine(bench.device, t)} in {name_of(t)}" for t in (torch.float32, bench.half))
    )
    bytes_per_s = copy_speed(bench)
    print(f"copy, the bound of the kernels: {bytes_per_s / 1e9:.1f} GB/s")
    rows = [*kernel_rows(bench, bytes_per_s), *attention_rows(bench), *training_rows(bench)]
    print_table("Correct first, then timed", COLUMNS, rows)
    if wrong := [f"{row[0]}, {row[1]}" for row in rows if str(row[2]).startswith("WRONG")]:
        sys.exit("These disagree with their twin: " + "; ".join(wrong))


if __name__ == "__main__":
    main()
