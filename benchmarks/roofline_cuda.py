"""Roofline of the CUDA kernels on an H100: what each must move and compute, and the time the slowest of it takes.

    python benchmarks/roofline_cuda.py

An estimate from data sheets, not a measurement. 3.35 TB/s of memory; 67 TFLOP/s in float32; 132 processors at 1.7 GHz
with 16 exponentials a cycle each; 3 µs to start a kernel are not in the times. Arrays are float32, labels one byte.
"""

BYTES_A_SECOND = 3.35e12
FLOPS_A_SECOND = 67e12
EXPS_A_SECOND = 16 * 132 * 1.7e9


def soft(batch, rows, groups, columns, backward):
    entries = batch * rows * groups
    vectors = 4 * columns * batch * (rows + groups)
    # Forward reads the logits; backward reads them and writes their gradient.
    return (8 if backward else 4) * entries + 2 * vectors, (4 if backward else 2) * columns * entries, entries


def penalties(rows, groups, backward):
    # The column norms need A a second time, so both directions take two passes, of which one finds the row in cache.
    return (8 if backward else 4) * rows * groups, 12 * rows * groups, 2 * rows * groups


def linear(samples, size, backward):
    labels = size * size * (2 if backward else 1)
    return labels + 4 * 3 * samples * size, (4 if backward else 2) * samples * size * size, 0


ROWS = [(f"soft_gather {n}x{n}", soft(1, n, n, 1, False)) for n in (256, 1024, 4096)]
ROWS += [(f"soft_gather_backward {n}x{n}", soft(1, n, n, 1, True)) for n in (256, 1024, 4096)]
ROWS += [
    ("soft_gather 65536x64", soft(1, 65536, 64, 1, False)),
    ("soft_gather_backward 65536x64", soft(1, 65536, 64, 1, True)),
    ("soft_gather, 600 of 5x5", soft(600, 5, 5, 1, False)),
    ("soft_gather_backward, 600 of 5x5", soft(600, 5, 5, 1, True)),
    ("soft_gather 1024x64, 256 columns", soft(1, 1024, 64, 256, False)),
    ("soft_gather_backward 1024x64, 256 columns", soft(1, 1024, 64, 256, True)),
    ("soft_gather 10x10, 25,000 columns", soft(1, 10, 10, 25_000, False)),
    ("soft_gather_backward 10x10, 25,000 columns", soft(1, 10, 10, 25_000, True)),
    ("penalties 2048x2048", penalties(2048, 2048, False)),
    ("penalties_backward 2048x2048", penalties(2048, 2048, True)),
    ("hard_gather, 16.7 M", (5 * 2**24, 0, 0)),
    ("hard_scatter, 16.7 M", (5 * 2**24, 2**24, 0)),
    ("shared_linear 4096x4096, 1 sample", linear(1, 4096, False)),
    ("shared_linear 4096x4096, 64 samples", linear(64, 4096, False)),
    ("shared_linear_backward 4096x4096, 64 samples", linear(64, 4096, True)),
]


def main():
    print("| kernel | MB | Mflop | Mexp | expected µs | bound by |")
    print("|---|---|---|---|---|---|")
    for name, (moved, flops, exps) in ROWS:
        times = {
            "memory": moved / BYTES_A_SECOND,
            "arithmetic": flops / FLOPS_A_SECOND,
            "exponentials": exps / EXPS_A_SECOND,
        }
        bound = max(times, key=times.get)
        sizes = f"{moved / 1e6:.2f} | {flops / 1e6:.2f} | {exps / 1e6:.2f}"
        print(f"| {name} | {sizes} | {times[bound] * 1e6:.2f} | {bound} |")


if __name__ == "__main__":
    main()
