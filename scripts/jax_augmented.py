"""A narrow residual network with pools and a stride, and heads that copy its later blocks, in JAX; compared by compare_with_jax.py."""

import math

import jax
import jax.numpy as jnp
import numpy as np

DEPTH, PYRAMID = 3, 0.5
HEADS = f"--head augmented --head-depth {DEPTH} --head-pyramid {PYRAMID}"

# A unit: its channels, its stride, and whether it is a residual sum. The strides of units 1 and 5 are an average and a maximum pool.
UNITS = [(4, 1, False), (4, 2, False), (4, 1, True), (6, 2, True), (6, 1, True), (8, 2, False)]
LAST = len(UNITS) - 1


def layer(kind, **settings):
    return "{ " + ", ".join([f'layer = "{kind}"', *(f"{key} = {value}" for key, value in settings.items())]) + " }"


def conv_text(outputs, kernel, stride=1):
    return layer("conv2d", outputs=outputs, kernel=kernel, stride=stride, padding=kernel // 2)


def unit_text(number):
    """A unit as a file has it."""
    channels, stride, is_sum = UNITS[number]
    if not is_sum:
        pool = {1: ['"avg-pool"'], 5: ['"max-pool"']}.get(number, [])
        unit = [conv_text(channels, 3), '"norm"', '"relu"']
        return unit + pool if number == 5 else pool + unit
    body = [conv_text(channels, 3, stride), '"norm"', '"relu"', conv_text(channels, 3), '"norm"']
    chains = {"body": f"[{', '.join(body)}]"}
    if stride == 2:
        chains["shortcut"] = f'[{conv_text(channels, 1, stride)}, "norm"]'
    return [layer("residual", **chains), '"relu"']


def network_text():
    blocks = "".join(f"\n[[blocks]]\nlayers = [{', '.join(unit_text(number))}]\n" for number in range(len(UNITS)))
    return 'name = "units"\n' + blocks


def convolution(x, weight, stride):
    pad, order = weight.shape[2] // 2, ("NCHW", "OIHW", "NCHW")
    return jax.lax.conv_general_dilated(x, weight, (stride, stride), [(pad, pad)] * 2, dimension_numbers=order)


def norm(x, theta, name):
    centred = x - x.mean((0, 2, 3), keepdims=True)
    x_hat = centred / jnp.sqrt((centred**2).mean((0, 2, 3), keepdims=True) + 1e-5)
    return x_hat * theta[f"{name}.weight"][:, None, None] + theta[f"{name}.bias"][:, None, None]


def windows(x):
    """The 2x2 windows of an image, `[n, c, rows, 2, columns, 2]`; what fills no window is left out."""
    rows, columns = x.shape[2] // 2, x.shape[3] // 2
    return x[:, :, : 2 * rows, : 2 * columns].reshape(*x.shape[:2], rows, 2, columns, 2)


def unit(number, x, theta, name, stride):
    """Unit `number`, or a copy of it with another stride, of parameters below `name`."""
    _, own, is_sum = UNITS[number]
    weight = lambda at: theta[f"{name}.{at}.weight"]
    if is_sum:
        body = jax.nn.relu(norm(convolution(x, weight("0.0"), stride), theta, f"{name}.0.1"))
        body = norm(convolution(body, weight("0.3"), 1), theta, f"{name}.0.4")
        if body.shape != x.shape:
            x = norm(convolution(x, weight("0.shortcut.0"), stride), theta, f"{name}.0.shortcut.1")
        return jax.nn.relu(x + body)
    is_pooled = own == 2 and stride == 2
    conv_stride = 1 if is_pooled else stride
    first = 0
    if number == 1 and is_pooled:
        x, first = windows(x).mean((3, 5)), 1
    x = jax.nn.relu(norm(convolution(x, weight(str(first)), conv_stride), theta, f"{name}.{first + 1}"))
    return windows(x).max((3, 5)) if number == 5 and is_pooled else x


def copies(number):
    """The units that the head behind a unit copies, each with its stride."""
    depth = max(1, round(DEPTH * (1 - number * PYRAMID / (LAST - 1)) + number * PYRAMID / (LAST - 1)))
    later = LAST - number
    chosen = range(number + 1, LAST + 1) if depth >= later else [round(number + later * i / depth) for i in range(1, depth + 1)]
    due, before, found = 1, number, []
    for one in chosen:
        due *= math.prod(stride for _, stride, _ in UNITS[before + 1 : one + 1])
        found.append((one, min(due, 2)))
        due, before = due // min(due, 2), one
    return depth, found


def cross_entropy(features, labels, theta, name):
    outputs = features @ theta[f"{name}.weight"].T + theta[f"{name}.bias"]
    return -jnp.mean(jax.nn.log_softmax(outputs)[jnp.arange(len(labels)), labels])


class Reference:
    """Gradients of one mini-batch, by reverse mode."""

    def __init__(self, theta, images, labels):
        self.theta, self.labels, self.inputs = theta, labels, [images]
        for number in range(len(UNITS)):
            self.inputs.append(self.block(number, self.inputs[-1], theta))

    def block(self, number, x, theta):
        return unit(number, x, theta, f"blocks.{number}", UNITS[number][1])

    def head(self, number, x, theta):
        name = f"heads.{number}"
        depth, found = copies(number)
        for copy, (one, stride) in enumerate(found):
            x = unit(one, x, theta, f"{name}.{copy}", stride)
        mean = x.mean((2, 3), keepdims=True)
        mean = norm(mean, theta, f"{name}.norm") if depth <= 1 else mean
        return cross_entropy(mean[:, :, 0, 0], self.labels, theta, f"{name}.output")

    def classifier(self, x, theta):
        return cross_entropy(x.mean((2, 3)), self.labels, theta, "fc")

    def rest(self, number, y):
        """The network's loss of a block's output."""
        for later in range(number + 1, len(UNITS)):
            y = self.block(later, y, self.theta)
        return self.classifier(y, self.theta)

    def gradient(self, prefix, loss):
        learns = lambda path: path.startswith(prefix) and "running_" not in path
        return {path: value for path, value in jax.grad(loss)(self.theta).items() if learns(path)}

    def learnt(self):
        """What every step has: the gradients of the last block, the classifier and the heads."""
        last = lambda theta: self.classifier(self.block(LAST, self.inputs[LAST], theta), theta)
        update = self.gradient(f"blocks.{LAST}.", last) | self.gradient("fc.", last)
        for number in range(LAST):
            update |= self.gradient(f"heads.{number}.", lambda theta: self.head(number, self.inputs[number + 1], theta))
        return update

    def local(self, number):
        """A head's gradient in its block's weights."""
        loss = lambda theta: self.head(number, self.block(number, self.inputs[number], theta), theta)
        return self.gradient(f"blocks.{number}.", loss)

    def target(self, number):
        loss = lambda theta: self.rest(number, self.block(number, self.inputs[number], theta))
        return self.gradient(f"blocks.{number}.", loss)

    def local_learning(self):
        update = self.learnt()
        for number in range(LAST):
            update |= self.local(number)
        return update

    def projected(self):
        """One scalar a block along the head's gradient."""
        update = self.learnt()
        for number in range(LAST):
            guess, target = self.local(number), self.target(number)
            along = sum(jnp.vdot(guess[path], target[path]) for path in guess)
            square = sum(jnp.vdot(value, value) for value in guess.values())
            update |= {path: along / square * value for path, value in guess.items()}
        return update


def methods(theta, images, labels, folder):
    reference = Reference(theta, images, labels)
    yield "augmented heads, local learning", "--guess local --projection off", reference.local_learning()
    yield "augmented heads, block, forward", "--granularity block", reference.projected()
    yield "augmented heads, block, oracle", "--granularity block --mode oracle", reference.projected()
