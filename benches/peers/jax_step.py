#!/usr/bin/env python3
"""Time and peak memory of one training step of ResNet-18 (CIFAR stem) in JAX, compiled; one JSON object on standard output."""

import argparse
import json
import resource
import time

import jax
import jax.numpy as jnp

WIDTHS, STRIDES, CLASSES = [64, 64, 128, 128, 256, 256, 512, 512], [1, 1, 2, 1, 2, 1, 2, 1], 10
HEAD_CHANNELS = 32


def convolution(x, weight, stride):
    pad = weight.shape[0] // 2
    dimensions = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, weight, (stride, stride), [(pad, pad)] * 2, dimension_numbers=dimensions)


def normalised(x, theta, stride):
    """Convolution and batch norm in training phase."""
    x = convolution(x, theta["weight"], stride)
    centred = x - x.mean((0, 1, 2))
    return centred * jax.lax.rsqrt((centred**2).mean((0, 1, 2)) + 1e-5) * theta["gamma"] + theta["beta"]


def layer(key, inputs, outputs, kernel):
    weight = jax.random.normal(key, (kernel, kernel, inputs, outputs)) * (2 / (inputs * kernel * kernel)) ** 0.5
    return {"weight": weight, "gamma": jnp.ones(outputs), "beta": jnp.zeros(outputs)}


def linear(key, inputs):
    return {"weight": jax.random.normal(key, (inputs, CLASSES)) * 0.05, "bias": jnp.zeros(CLASSES)}


def parameters():
    """The blocks (the stem belongs to the first), the classifier, and the heads of all blocks but the last."""
    keys = iter(jax.random.split(jax.random.key(0), 128))
    theta = {"blocks": [], "heads": []}
    for inputs, outputs, stride in zip([64, *WIDTHS], WIDTHS, STRIDES):
        block = {"first": layer(next(keys), inputs, outputs, 3), "second": layer(next(keys), outputs, outputs, 3)}
        if stride != 1 or inputs != outputs:
            block["shortcut"] = layer(next(keys), inputs, outputs, 1)
        theta["blocks"].append(block)
    theta["blocks"][0]["stem"] = layer(next(keys), 3, 64, 3)
    theta["fc"] = linear(next(keys), 512)
    for width in WIDTHS[:-1]:
        channels = [width] + [HEAD_CHANNELS] * 4
        layers = [layer(next(keys), i, o, 3 if n else 1) for n, (i, o) in enumerate(zip(channels, channels[1:]))]
        theta["heads"].append({"layers": layers, "fc": linear(next(keys), 4 * HEAD_CHANNELS)})
    return theta


def block(theta, x, stride):
    if "stem" in theta:
        x = jax.nn.relu(normalised(x, theta["stem"], 1))
    body = jax.nn.relu(normalised(x, theta["first"], stride))
    body = normalised(body, theta["second"], 1)
    return jax.nn.relu(body + (normalised(x, theta["shortcut"], stride) if "shortcut" in theta else x))


def cross_entropy(theta, features, labels):
    outputs = features @ theta["weight"] + theta["bias"]
    return -jnp.mean(jax.nn.log_softmax(outputs)[jnp.arange(len(labels)), labels])


def classifier_loss(theta, x, labels):
    return cross_entropy(theta["fc"], x.mean((1, 2)), labels)


def head_loss(theta, x, labels):
    for number, own in enumerate(theta["layers"]):
        x = jax.nn.relu(normalised(x, own, 2 if number else 1))
    samples, side, _, channels = x.shape
    bins = min(side, 2)
    x = x.reshape(samples, bins, side // bins, bins, side // bins, channels).mean((2, 4))
    x = jnp.broadcast_to(x, (samples, 2, 2, channels))
    return cross_entropy(theta["fc"], x.reshape(samples, -1), labels)


def loss(theta, images, labels, wrap=lambda block: block):
    x = images
    for own, stride in zip(theta["blocks"], STRIDES):
        x = wrap(lambda own, x, stride=stride: block(own, x, stride))(own, x)
    return classifier_loss(theta, x, labels)


def trunk(theta):
    return {"blocks": theta["blocks"], "fc": theta["fc"]}


def pull_backs(theta, images):
    """Every block's output and its cotangent map; `x` is `None` where no cotangent of the images is wanted."""
    x, outputs, maps = images, [], []
    for number, (own, stride) in enumerate(zip(theta["blocks"], STRIDES)):
        if number:
            x, back = jax.vjp(lambda own, x, stride=stride: block(own, x, stride), own, x)
        else:
            x, back = jax.vjp(lambda own, x=x, stride=stride: block(own, x, stride), own)
        outputs.append(x)
        maps.append(back)
    return outputs, maps


def scale(target, guess, axes=None):
    keep = axes is not None
    square = (guess * guess).sum(axes, keepdims=keep)
    return guess * ((target * guess).sum(axes, keepdims=keep) / jnp.maximum(square, 1e-30))


def local_steps(theta, images, labels, update):
    """Targets from the network's loss, guesses from the heads'; `update(block's cotangent map, target, guess)`."""
    outputs, maps = pull_backs(theta, images)
    of_fc, y_bar = jax.grad(classifier_loss, (0, 1))(trunk(theta), outputs[-1], labels)
    updates = [of_fc["fc"]]
    for number in reversed(range(len(outputs))):
        own = maps[number](y_bar)
        if number + 1 == len(outputs):
            updates.append(own[0])
        else:
            of_head, guess = jax.grad(head_loss, (0, 1))(theta["heads"][number], outputs[number], labels)
            updates += [of_head, update(maps[number], own[0], y_bar, guess)]
        y_bar = own[-1]
    return updates


def local_weight(theta, images, labels, key):
    """Eq. 4, one scalar a tensor."""
    def update(back, own, _, guess):
        return jax.tree.map(scale, own, back(guess)[0])

    return local_steps(theta, images, labels, update)


def local_activity(theta, images, labels, key):
    """Eq. 5, one scalar a sample."""
    def update(back, _, target, guess):
        return back(scale(target, guess, (1, 2, 3)))[0]

    return local_steps(theta, images, labels, update)


def jvp_weights(theta, images, labels, key):
    theta = trunk(theta)
    leaves, structure = jax.tree.flatten(theta)
    keys = jax.random.split(key, len(leaves))
    drawn = jax.tree.unflatten(structure, [jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves)])
    _, derivative = jax.jvp(lambda theta: loss(theta, images, labels), (theta,), (drawn,))
    return jax.tree.map(lambda tangent: derivative * tangent, drawn)


METHODS = {
    "forward": lambda theta, images, labels, key: loss(theta, images, labels),
    "backprop": lambda theta, images, labels, key: jax.grad(loss)(trunk(theta), images, labels),
    "backprop-checkpointed": lambda theta, images, labels, key: jax.grad(loss)(trunk(theta), images, labels, jax.checkpoint),
    "jvp-weights": jvp_weights,
    "local-weight-tensor-oracle": local_weight,
    "local-activity-oracle": local_activity,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", choices=METHODS, required=True)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=3)
    arguments = parser.parse_args()
    theta, step = parameters(), jax.jit(METHODS[arguments.method])
    images = jax.random.normal(jax.random.key(1), (arguments.batch, 32, 32, 3))
    labels = jnp.arange(arguments.batch) % CLASSES
    seconds = []
    for number in range(arguments.steps + 1):
        began = time.perf_counter()
        jax.block_until_ready(step(theta, images, labels, jax.random.key(number)))
        if number:
            seconds.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"method": arguments.method, "seconds": seconds, "peak_memory": peak}))


if __name__ == "__main__":
    main()
