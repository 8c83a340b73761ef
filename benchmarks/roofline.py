"""What the CUDA kernels would take at best on an H100: an estimate from counts, not a measurement.

    python benchmarks/roofline.py

For each kernel and shape: bytes that must cross the memory bus (every input read once, every output written once,
scratch memory written and read once), floating-point operations, exponentials; and the longest of the three times
that the device's peak rates give. A launch costs about two microseconds more, so that the small shapes are all launch.
"""

from __future__ import annotations

from dataclasses import dataclass

from equishare import _native

# H100 SXM: HBM3, float32 outside of tensor cores, 16 special-function results a clock in each of 132 multiprocessors.
BYTES_PER_SECOND, FLOPS_PER_SECOND, EXPS_PER_SECOND = 3.35e12, 67e12, 16 * 132 * 1.7e9
# Of one expf besides its special-function result: range reduction and scaling.
EXP_FLOPS = 8
FLOAT = 4


@dataclass(frozen=True)
class Work:
    """One call of a kernel, in float32."""

    kernel: str
    shape: str
    launches: int
    numbers: int  # float32 numbers read or written
    flops: float  # without those of exponentials
    exps: float = 0
    other_bytes: int = 0  # labels
    scratch: tuple[int, ...] = ()  # sizes, as the kernel's workspace function takes them

    def scratch_bytes(self) -> int:
        """Bytes of scratch memory, as the kernels tell."""
        if _native.cuda is None or not self.scratch:
            return 0
        return getattr(_native.cuda.f32, f"{self.kernel.split(' ')[0]}_workspace")(*self.scratch)

    def bytes(self) -> int:
        """Bytes that cross the memory bus."""
        return FLOAT * self.numbers + self.other_bytes + 2 * self.scratch_bytes()

    def seconds(self) -> tuple[float, str]:
        """The longest of the three times, and what sets it."""
        times = {
            "memory": self.bytes() / BYTES_PER_SECOND,
            "flops": (self.flops + EXP_FLOPS * self.exps) / FLOPS_PER_SECOND,
            "exp": self.exps / EXPS_PER_SECOND,
        }
        limit = max(times, key=times.__getitem__)
        return times[limit], limit


def soft(b: int, k: int, g: int, shape: str) -> list[Work]:
    """The kernels of one column. An entry's exponential is formed once or, where a row is reduced first, twice."""
    n, rows, groups = b * k * g, b * k, b * g
    sizes = (b, k, g, 1)
    return [
        Work("soft_gather", shape, 1, n + groups + 3 * rows, 4 * n, n),
        Work("soft_gather_backward", shape, 2, 2 * n + 2 * groups + 4 * rows, 6 * n, n, scratch=sizes),
        Work("soft_scatter", shape, 2, n + groups + rows, 4 * n, 2 * n, scratch=sizes),
        Work("penalties", shape, 3, n + groups + 3 * rows, 8 * n, 2 * n, scratch=sizes),
        Work("penalties (joint)", shape, 3, n + 2 * groups + 4 * rows, 10 * n, 2 * n, scratch=sizes),
        Work("penalties_backward", shape, 2, 2 * n + groups + 3 * rows, 14 * n, 2 * n, scratch=sizes),
        Work("penalties_backward (joint)", shape, 3, 2 * n + 3 * groups + 5 * rows, 20 * n, 2 * n, scratch=sizes),
        Work("relax_forward", shape, 4, 2 * n + 6 * groups + 5 * rows, 16 * n, 3 * n, scratch=sizes),
        Work("relax_backward", shape, 3, 3 * n + 4 * groups + 8 * rows, 24 * n, 3 * n, scratch=sizes),
        Work("relax_backward (Adam)", shape, 3, 7 * n + 4 * groups + 8 * rows, 36 * n, 3 * n, scratch=sizes),
    ]


def columns(k: int, g: int, c: int, shape: str) -> list[Work]:
    """The kernels of several columns; A is formed once for every tile of 64 columns."""
    tiles, product = -(-c // 64), 2 * k * g * c
    sizes = (1, k, g, c)
    return [
        Work("soft_gather", shape, 2, 2 * k * g + g * c + k * c + 2 * k, product, (1 + tiles) * k * g),
        Work(
            "soft_gather_backward",
            shape,
            4,
            3 * k * g + 3 * k * c + 2 * g * c,
            2 * product + 2 * k * c,
            (1 + tiles) * k * g,
            scratch=sizes,
        ),
        Work("soft_scatter", shape, 3, 2 * k * g + k * c + g * c, product, (1 + tiles) * k * g, scratch=sizes),
    ]


def labelled() -> list[Work]:
    """The kernels of hard labels, one byte each."""
    n, side, g = 1 << 24, 4096, 64
    hard, linear = f"K=16.7M G={g}", f"{side}x{side} G={g} batch "
    cells = side * side
    work = [
        Work("hard_gather", hard, 1, n + g, 0, other_bytes=n),
        Work("hard_scatter", hard, 2, n + g, n, other_bytes=n, scratch=(1, n, g, 1)),
    ]
    for batch in (1, 64):
        ends, sizes, flops = batch * 2 * side + g, (batch, side, side, g), 2 * batch * cells
        forward = Work("shared_linear", f"{linear}{batch}", 1, ends, flops, other_bytes=cells)
        launches = 4 if batch == 1 else 3 + 2 * (cells >> 20)  # D in panels
        backward = Work(
            "shared_linear_backward",
            f"{linear}{batch}",
            launches,
            ends + batch * side + g,
            2 * flops,
            other_bytes=2 * cells,
            scratch=sizes,
        )
        work += [forward, backward]
    return work


def main() -> None:
    """Print the table."""
    work = []
    for size in (256, 512, 1024, 2048, 4096):
        work += soft(1, size, size, f"K=G={size}")
    work += soft(1, 65_536, 64, "K=65,536 G=64")
    work += soft(600, 5, 5, "600 problems 5x5")
    work += columns(1024, 64, 256, "K=1024 G=64 C=256")
    work += columns(10, 10, 25_000, "K=G=10 C=25,000")
    work += labelled()
    print("| kernel | shape | MB | of it scratch | MFLOP | M exp | us at least | set by | launches |")
    print("|---|---|---|---|---|---|---|---|---|")
    for w in work:
        seconds, limit = w.seconds()
        flops = w.flops + EXP_FLOPS * w.exps
        print(
            f"| {w.kernel} | {w.shape} | {w.bytes() / 1e6:.2f} | {2 * w.scratch_bytes() / 1e6:.2f} "
            f"| {flops / 1e6:.1f} | {w.exps / 1e6:.2f} | {seconds * 1e6:.2f} | {limit} | {w.launches} |"
        )
    if _native.cuda is None:
        print("\nScratch memory is not counted: equishare was built without CUDA kernels.")


if __name__ == "__main__":
    main()
