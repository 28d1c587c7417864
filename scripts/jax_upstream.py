"""The guess upstream through semi-orthogonal weights in JAX and numpy, its noise drawn by the published generator; compared by
compare_with_jax.py."""

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

WEIGHTS = "--guess upstream --guess-upstream-weights orthogonal"
SAMPLE = "--space activity --mode oracle"
RANK = 2
SEED, STEP = 7, 3
MASK64 = 2**64 - 1


# The noise: Philox4x32-10 (Salmon et al., 2011) under keys that names make, and Box and Muller's normal numbers.


def mixed(z):
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK64
    return z ^ (z >> 31)


def at(stream, index):
    rotated = (stream << 23 | stream >> 41) & MASK64
    return mixed(rotated ^ (index + 1) * 0x9E3779B97F4A7C15 & MASK64)


def named(stream, name):
    for number in [len(name), *name.encode()]:
        stream = at(stream, number)
    return stream


def words(seed, stream, count):
    """Four words a block of the counter, the stream's number above the block's; 2^14 words take the blocks from their own number on."""
    first = np.arange(0, count, 4, dtype=np.uint64)
    low = first // 2**14 * 2**14 + first % 2**14 // 4
    counter = [low & 0xFFFFFFFF, low >> 32, np.full_like(low, stream & 0xFFFFFFFF), np.full_like(low, stream >> 32)]
    key = [mixed(seed) & 0xFFFFFFFF, mixed(seed) >> 32]
    for _ in range(10):
        left, right = counter[0] * np.uint64(0xD2511F53), counter[2] * np.uint64(0xCD9E8D57)
        high = lambda product: product >> np.uint64(32)
        low_half = lambda product: product & np.uint64(0xFFFFFFFF)
        counter = [
            high(right) ^ counter[1] ^ np.uint64(key[0]),
            low_half(right),
            high(left) ^ counter[3] ^ np.uint64(key[1]),
            low_half(left),
        ]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(counter, -1).reshape(-1)[:count]


def normal(seed, stream, shape):
    count = int(np.prod(shape))
    unit = (words(seed, stream, count + count % 2).astype(np.float64) + 0.5) / 2**32
    radius, angle = np.sqrt(-2 * np.log(unit[0::2])), 2 * np.pi * unit[1::2]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1).reshape(-1)[:count].reshape(shape)


# The guess.


def nearest(weight, rank):
    """The semi-orthogonal matrix nearest to a weight, by its singular vectors."""
    u, _, v = np.linalg.svd(np.asarray(weight).reshape(weight.shape[0], -1), full_matrices=False)
    return jnp.asarray((u[:, :rank] @ v[:rank]).reshape(weight.shape))


def transported(block, number, x, theta, rank):
    """The cotangent map of a block at x in which every convolution goes back through other weights, while masks and norms stay."""
    back = {name: nearest(weight, rank) for name, weight in theta.items() if weight.ndim == 4}
    return jax.vjp(lambda x: block(number, x, theta, back), x)[1]


def guesses(reference, block, seed, rank):
    """Noise at the next block's output, pulled back to each block's, one block after another."""
    found = []
    for number, (y, z) in enumerate(zip(reference.inputs[1:], reference.inputs[2:])):
        stream = at(named(at(at(named(0, "guess"), STEP), number), "upstream"), 0)
        noise = jnp.asarray(normal(seed, stream, z.shape))
        found.append(transported(block, number + 1, y, reference.theta, rank)(noise)[0])
    return found


def methods(reference, block, folder):
    """Names, flags and updates: of guesses made here and there, and of guesses given, those of another seed."""
    for rank in (None, RANK):
        flags = f"{WEIGHTS} --step {STEP} --seed {SEED}" + (f" --guess-upstream-rank {rank}" if rank else "")
        name = f"upstream, orthogonal, rank {rank or 'full'}"
        made = guesses(reference, block, SEED, rank)
        yield f"{name}, activity", f"{flags} {SAMPLE}", reference.activity(made)
        in_weights = [reference.pulled(number, guess) for number, guess in enumerate(made)]
        whole = [[(number, reference.own(number)) for number in range(len(made))]]
        yield f"{name}, network", flags, reference.weight(whole, guesses=in_weights)
    given = guesses(reference, block, SEED + 1, None)
    file = {f"guess/0/blocks.{number}": np.ascontiguousarray(guess) for number, guess in enumerate(given)}
    save_file(file, f"{folder}/upstream.safetensors")
    flags = f"{WEIGHTS} {SAMPLE} --guess-file upstream.safetensors"
    yield "upstream, orthogonal, given, activity", flags, reference.activity(given)
