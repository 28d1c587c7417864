#!/usr/bin/env python3
"""Compares `foregrad step` with independent implementations in JAX, in f64: of ResNet-18 in 8 blocks with mlp heads (the
guess feedback in jax_feedback.py, noise through orthogonal weights in jax_upstream.py), of local-mixer with mean-linear heads
(jax_mixer.py), of VGG8b with the losses that it is published with (jax_predsim.py), and of a network in a file with heads that
copy its later blocks (jax_augmented.py).

    pip install jax safetensors numpy
    python3 scripts/compare_with_jax.py --binary target/release/foregrad

For every method it prints the worst relative difference of any tensor's update.
"""

import argparse
import pathlib
import subprocess
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file, save_file

import jax_augmented
import jax_feedback
import jax_mixer
import jax_predsim
import jax_upstream

jax.config.update("jax_enable_x64", True)

BLOCKS = [f"layer{stage}.{position}" for stage in range(1, 5) for position in range(2)]
LAST = len(BLOCKS) - 1
MODEL = "--model resnet18-8b --width 0.1 --head mlp"


# The network, with parameters in a dictionary under torchvision's names.


def convolution(x, weight, stride, padding, back=None):
    """Of a weight; its cotangent map that of another one, if there is one."""
    pads, order = [(padding, padding)] * 2, ("NCHW", "OIHW", "NCHW")
    of = lambda weight: jax.lax.conv_general_dilated(x, weight, (stride, stride), pads, dimension_numbers=order)
    return of(weight) if back is None else of(back) + jax.lax.stop_gradient(of(weight) - of(back))


def batch_norm(x, theta, name):
    axes = (0, 2, 3) if x.ndim == 4 else (0,)
    shape = (1, -1, 1, 1) if x.ndim == 4 else (1, -1)
    centred = x - x.mean(axes, keepdims=True)
    x_hat = centred / jnp.sqrt((centred**2).mean(axes, keepdims=True) + 1e-5)
    return x_hat * theta[f"{name}.weight"].reshape(shape) + theta[f"{name}.bias"].reshape(shape)


def block(number, x, theta, back={}):
    """A block; its convolutions go back through the weights of `back`, where that has some."""
    conv = lambda x, name, stride, padding: convolution(x, theta[name], stride, padding, back.get(name))
    if number == 0:
        x = jax.nn.relu(batch_norm(conv(x, "conv1.weight", 1, 1), theta, "bn1"))
    name, stride = BLOCKS[number], 2 if number in (2, 4, 6) else 1
    body = jax.nn.relu(batch_norm(conv(x, f"{name}.conv1.weight", stride, 1), theta, f"{name}.bn1"))
    body = batch_norm(conv(body, f"{name}.conv2.weight", 1, 1), theta, f"{name}.bn2")
    if f"{name}.downsample.0.weight" in theta:
        x = conv(x, f"{name}.downsample.0.weight", stride, 0)
        x = batch_norm(x, theta, f"{name}.downsample.1")
    return jax.nn.relu(x + body)


def cross_entropy(outputs, labels):
    return -jnp.mean(jax.nn.log_softmax(outputs)[jnp.arange(len(labels)), labels])


def outputs(x, theta):
    return x.mean((2, 3)) @ theta["fc.weight"].T + theta["fc.bias"]


def classifier(x, labels, theta):
    return cross_entropy(outputs(x, theta), labels)


def head(number, x, labels, theta):
    """2x2 adaptive average pool, three hidden layers, linear."""
    bins = [[(i * size // 2, -(-(i + 1) * size // 2)) for i in range(2)] for size in x.shape[2:]]
    rows = [[x[:, :, top:bottom, left:right].mean((2, 3)) for left, right in bins[1]] for top, bottom in bins[0]]
    hidden = jnp.stack([jnp.stack(row, -1) for row in rows], -2).reshape(len(labels), -1)
    name = f"heads.{number}"
    for layer in (2, 5, 8):
        hidden = hidden @ theta[f"{name}.{layer}.weight"].T
        hidden = jax.nn.relu(batch_norm(hidden, theta, f"{name}.{layer + 1}"))
    return cross_entropy(hidden @ theta[f"{name}.11.weight"].T + theta[f"{name}.11.bias"], labels)


class Reference:
    """Gradients of one mini-batch, by reverse mode."""

    def __init__(self, theta, images, labels):
        self.theta, self.labels = theta, labels
        self.inputs = [images]
        for number in range(len(BLOCKS)):
            self.inputs.append(block(number, self.inputs[-1], theta))
        self.target = jax.grad(lambda theta: self.loss_from(0, self.inputs[0], theta))(theta)
        self.exact = self.of(LAST, self.target) | {name: self.target[name] for name in ("fc.weight", "fc.bias")}

    def loss_from(self, first, x, theta):
        for number in range(first, len(BLOCKS)):
            x = block(number, x, theta)
        return classifier(x, self.labels, theta)

    def own(self, number):
        """The names of a block's parameters."""
        stem = ("conv1.", "bn1.") if number == 0 else ()
        prefixes = (BLOCKS[number] + ".", *stem)
        return [name for name in self.theta if name.startswith(prefixes) and "running_" not in name]

    def of(self, number, gradient):
        return {name: gradient[name] for name in self.own(number)}

    def guess(self, number, horizon=0):
        """The gradient of the loss `horizon` blocks further on, in the weights."""
        end = min(number + horizon, LAST)

        def loss(theta):
            x = block(number, self.inputs[number], theta)
            for later in range(number + 1, end + 1):
                x = block(later, x, theta)
            return classifier(x, self.labels, theta) if end == LAST else head(end, x, self.labels, theta)

        return jax.grad(loss)(self.theta)

    def heads(self):
        """Each head's gradient of its own loss."""
        update = {}
        for number in range(LAST):
            gradient, name = self.guess(number), f"heads.{number}."
            update |= {k: gradient[k] for k in self.theta if k.startswith(name) and "running_" not in k}
        return update

    def pulled(self, number, y_bar):
        """A cotangent at a block's output, in the weights."""
        return jax.vjp(lambda theta: block(number, self.inputs[number], theta), self.theta)[1](y_bar)[0]

    def weight(self, slots, horizon=0, guesses=None):
        """Eq. 4 with one scalar a slot; a slot is a list of (block, names)."""
        guesses = guesses or [self.guess(number, horizon) for number in range(LAST)]
        update = dict(self.exact)
        for slot in slots:
            pairs = [(guesses[number][name], self.target[name], name) for number, names in slot for name in names]
            along = sum(jnp.vdot(guess, target) for guess, target, _ in pairs)
            square = sum(jnp.vdot(guess, guess) for guess, _, _ in pairs)
            update |= {name: along / square * guess for guess, _, name in pairs}
        return update

    def activity(self, guesses=None):
        """Eq. 5: one scalar a sample, at every block's output; along the heads' gradients, or along other guesses there."""
        update = dict(self.exact)
        for number in range(LAST):
            y = self.inputs[number + 1]
            target = jax.grad(lambda y: self.loss_from(number + 1, y, self.theta))(y)
            local = lambda y: head(number, y, self.labels, self.theta)
            guess = guesses[number] if guesses else jax.grad(local)(y)
            scalars = (target * guess).sum((1, 2, 3)) / (guess**2).sum((1, 2, 3))
            update |= self.of(number, self.pulled(number, scalars[:, None, None, None] * guess))
        return update


def methods(reference):
    inner = range(LAST)
    by_tensor = [[(number, [name])] for number in inner for name in reference.own(number)]
    by_block = [[(number, reference.own(number))] for number in inner]
    whole = [[(number, reference.own(number)) for number in inner]]
    heads = reference.heads()
    intermediate = dict(reference.exact)
    for number in inner:
        intermediate |= reference.of(number, reference.guess(number, 1))
    everything = dict(reference.exact)
    for number in inner:
        everything |= reference.of(number, reference.target)
    yield "end-to-end", "--guess exact --mode oracle", everything
    yield "intermediate target, exact", "--guess exact --target intermediate --mode oracle", intermediate
    yield "weight, tensor (Eq. 4), forward", "--granularity tensor", reference.weight(by_tensor) | heads
    yield "weight, block, forward", "--granularity block", reference.weight(by_block) | heads
    yield "weight, network, forward", "--granularity network", reference.weight(whole) | heads
    yield "guess horizon 1, block, forward", "--guess-horizon 1 --granularity block", reference.weight(by_block, 1)
    yield "activity (Eq. 5), oracle", "--space activity --mode oracle", reference.activity() | heads
    yield from jax_feedback.methods(jax_feedback.Feedback(reference, block, outputs, cross_entropy))


def resnet_methods(theta, images, labels, folder):
    reference = Reference(theta, images, labels)
    return [*methods(reference), *jax_upstream.methods(reference, block, folder)]


def compare(binary, model, image, methods):
    """Prints how far the steps of a network with random weights, on six random images, are from those expected."""
    with tempfile.TemporaryDirectory() as folder:

        def foregrad(arguments):
            command = [binary, *arguments.split()]
            return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

        foregrad(f"init {model} --image {'x'.join(map(str, image))} --seed 5 --out w.safetensors")
        generator = np.random.default_rng(0)
        images = generator.standard_normal((6, *image)).astype(np.float32)
        labels = generator.integers(0, 10, 6)
        save_file({"images": images, "labels": labels}, f"{folder}/b.safetensors")
        theta = {name: jnp.asarray(value, jnp.float64) for name, value in load_file(f"{folder}/w.safetensors").items()}
        for name, flags, expected in methods(theta, jnp.asarray(images, jnp.float64), labels, folder):
            files = "--weights w.safetensors --batch b.safetensors --out u.safetensors --dtype f64"
            foregrad(f"step {model} {files} {flags}")
            found = load_file(f"{folder}/u.safetensors")
            # Of a step that has drawn numbers, what it must give is a function of these.
            expected = expected(found) if callable(expected) else {f"update/{path}": value for path, value in expected.items()}
            difference = lambda path: np.linalg.norm(found[path] - expected[path]) / (np.linalg.norm(expected[path]) or 1)
            print(f"{name:42} {len(expected):4} tensors, worst difference {max(map(difference, expected)):.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/foregrad", type=lambda path: pathlib.Path(path).resolve())
    binary = parser.parse_args().binary
    compare(binary, MODEL, (3, 16, 16), resnet_methods)
    compare(binary, jax_mixer.MODEL, (3, 16, 16), jax_mixer.methods)
    with tempfile.TemporaryDirectory() as folder:
        for head in jax_predsim.HEADS:
            compare(binary, jax_predsim.model(binary, head, folder), (3, 32, 32), jax_predsim.methods(head))
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as network:
        print(jax_augmented.network_text(), file=network, flush=True)
        compare(binary, f"--model {network.name} {jax_augmented.HEADS}", (3, 17, 15), jax_augmented.methods)


if __name__ == "__main__":
    main()
