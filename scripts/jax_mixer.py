"""The network local-mixer in JAX, and steps with one scalar a tile and channel group of each sample; compared by compare_with_jax.py."""

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

MODEL = "--model local-mixer --width 0.125 --head mean-linear"
BLOCKS, GROUPS = 4, 16
# Sides of 4 pixels in 3 tiles: one of two pixels, two of one.
TILES, RUNS = 3, 4
PARTS = f"--space activity --granularity patch-group --patches {TILES} --groups {RUNS}"


# The network, channels last: [sample, row, column, channel].


def norm(x, groups=1):
    """Mean 0 and variance 1 of each group of a pixel's channels."""
    grouped = x.reshape(*x.shape[:-1], groups, -1)
    centred = grouped - grouped.mean(-1, keepdims=True)
    return (centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)).reshape(x.shape)


def embedded(x, theta, name):
    """A linear map of each patch of 4x4 pixels; the weight is a convolution's, [out, in, 4, 4]."""
    samples, height, width, channels = x.shape
    patches = x.reshape(samples, height // 4, 4, width // 4, 4, channels)
    return jnp.einsum("nyaxbc,ocab->nyxo", patches, theta[f"{name}.weight"]) + theta[f"{name}.bias"]


def channels_mixed(x, theta, name, groups=1):
    weight = theta[f"{name}.weight"]
    weight = weight.reshape(groups, -1, weight.shape[1])
    grouped = x.reshape(*x.shape[:-1], groups, -1)
    return jnp.einsum("nyxgi,goi->nyxgo", grouped, weight).reshape(*x.shape[:-1], -1) + theta[f"{name}.bias"]


def tokens_mixed(x, theta, name):
    flat = x.reshape(x.shape[0], -1, x.shape[-1])
    return jnp.einsum("npc,qp->nqc", flat, theta[f"{name}.weight"]).reshape(x.shape)


def block(number, x, theta):
    name = f"blocks.{number}"
    if number == 0:
        x = jax.nn.relu(norm(embedded(x, theta, f"{name}.0")))
        return jax.nn.relu(norm(channels_mixed(x, theta, f"{name}.3", GROUPS), GROUPS))
    body = jax.nn.relu(norm(tokens_mixed(x, theta, f"{name}.0.0")))
    body = jax.nn.relu(norm(channels_mixed(body, theta, f"{name}.0.3")))
    return jax.nn.relu(x + norm(channels_mixed(body, theta, f"{name}.0.6", GROUPS), GROUPS))


def read_out(x, labels, theta, name):
    """Cross-entropy of a linear map of the mean over all pixels."""
    outputs = x.mean((1, 2)) @ theta[f"{name}.weight"].T + theta[f"{name}.bias"]
    return -jnp.mean(jax.nn.log_softmax(outputs)[jnp.arange(len(labels)), labels])


# One step.


def part_sums(values):
    """The sum of values at a block's output over each part, given back to all of the part."""
    _, height, width, channels = values.shape
    tile = [np.arange(size) * TILES // size for size in (height, width)]
    run = np.arange(channels) * RUNS // channels
    same = [jnp.asarray(of[:, None] == of, values.dtype) for of in (*tile, run)]
    return jnp.einsum("nyxc,yv,xw,cd->nvwd", values, *same)


class Reference:
    """Gradients of one mini-batch, by reverse mode."""

    def __init__(self, theta, images, labels):
        self.theta, self.labels = theta, labels
        self.inputs = [images.transpose(0, 2, 3, 1)]
        for number in range(BLOCKS):
            self.inputs.append(block(number, self.inputs[-1], theta))

    def global_loss(self, number, y):
        """The network's loss of a block's output."""
        for later in range(number + 1, BLOCKS):
            y = block(later, y, self.theta)
        return read_out(y, self.labels, self.theta, "fc")

    def local_loss(self, number, y):
        return read_out(y, self.labels, self.theta, f"heads.{number}.2")

    def gradient(self, name, loss):
        """The gradient of a loss in the parameters whose names begin with a name."""
        gradient = jax.grad(loss)(self.theta)
        return {path: value for path, value in gradient.items() if path.startswith(name)}

    def exact(self):
        """What every step has: the gradients of the last block, the classifier and the heads."""
        last = lambda theta: read_out(block(BLOCKS - 1, self.inputs[BLOCKS - 1], theta), self.labels, theta, "fc")
        update = self.gradient(f"blocks.{BLOCKS - 1}.", last) | self.gradient("fc.", last)
        for number in range(BLOCKS - 1):
            head = lambda theta: read_out(self.inputs[number + 1], self.labels, theta, f"heads.{number}.2")
            update |= self.gradient(f"heads.{number}.", head)
        return update

    def step(self, loss, directions, is_projected):
        """Each part of each direction times its inner product with the target, pulled back into the block; the mean over directions."""
        update = {}
        for number in range(BLOCKS - 1):
            target = jax.grad(lambda y: loss(number, y))(self.inputs[number + 1])
            weighted = []
            for direction in directions(number):
                scalars = part_sums(direction * target)
                squares = part_sums(direction**2) if is_projected else 1.0
                weighted.append(scalars / squares * direction)
            pull = jax.vjp(lambda theta: block(number, self.inputs[number], theta), self.theta)[1]
            pulled = pull(sum(weighted) / len(weighted))[0]
            update |= {path: value for path, value in pulled.items() if path.startswith(f"blocks.{number}.")}
        return update


def methods(theta, images, labels, folder):
    reference = Reference(theta, images, labels)
    generator = np.random.default_rng(1)
    drawn = [generator.standard_normal((2, *y.shape)) for y in reference.inputs[1:BLOCKS]]
    given = {
        f"guess/{direction}/blocks.{number}": np.ascontiguousarray(own.transpose(0, 3, 1, 2))
        for number, both in enumerate(drawn)
        for direction, own in enumerate(both)
    }
    save_file(given, f"{folder}/guesses.safetensors")
    local = lambda number: [jax.grad(lambda y: reference.local_loss(number, y))(reference.inputs[number + 1])]
    given = "--guess gaussian --directions 2 --guess-file guesses.safetensors"
    exact = reference.exact()
    random = lambda loss: reference.step(loss, lambda number: drawn[number], False) | exact
    yield "patch-group, given, global", f"{PARTS} {given}", without_heads(random(reference.global_loss))
    yield "patch-group, given, local, one pass", f"{PARTS} {given} --target local", random(reference.local_loss)
    projected = reference.step(reference.global_loss, local, True) | exact
    yield "patch-group, local guess, forward", PARTS, projected
    yield "patch-group, local guess, oracle", f"{PARTS} --mode oracle", projected


def without_heads(update):
    """Heads that no guess and no target uses do not learn."""
    return {path: value for path, value in update.items() if not path.startswith("heads.")}
