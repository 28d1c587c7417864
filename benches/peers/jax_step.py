#!/usr/bin/env python3
"""Time and peak memory of one training step of ResNet-18 (CIFAR stem) in JAX, compiled; one JSON object on standard output."""

import argparse
import json
import resource
import time

import jax
import jax.numpy as jnp

WIDTHS, STRIDES, CLASSES = [64, 64, 128, 128, 256, 256, 512, 512], [1, 1, 2, 1, 2, 1, 2, 1], 10


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


def parameters():
    keys = iter(jax.random.split(jax.random.key(0), 64))
    theta = {"stem": layer(next(keys), 3, 64, 3), "blocks": []}
    for inputs, outputs, stride in zip([64, *WIDTHS], WIDTHS, STRIDES):
        block = {"first": layer(next(keys), inputs, outputs, 3), "second": layer(next(keys), outputs, outputs, 3)}
        if stride != 1 or inputs != outputs:
            block["shortcut"] = layer(next(keys), inputs, outputs, 1)
        theta["blocks"].append(block)
    theta["fc"] = {"weight": jax.random.normal(next(keys), (512, CLASSES)) * 0.05, "bias": jnp.zeros(CLASSES)}
    return theta


def loss(theta, images, labels, wrap=lambda block: block):
    def block(theta, x, stride):
        body = jax.nn.relu(normalised(x, theta["first"], stride))
        body = normalised(body, theta["second"], 1)
        return jax.nn.relu(body + (normalised(x, theta["shortcut"], stride) if "shortcut" in theta else x))

    x = jax.nn.relu(normalised(images, theta["stem"], 1))
    for own, stride in zip(theta["blocks"], STRIDES):
        x = wrap(lambda own, x, stride=stride: block(own, x, stride))(own, x)
    outputs = x.mean((1, 2)) @ theta["fc"]["weight"] + theta["fc"]["bias"]
    return -jnp.mean(jax.nn.log_softmax(outputs)[jnp.arange(len(labels)), labels])


def jvp_weights(theta, images, labels, key):
    leaves, structure = jax.tree.flatten(theta)
    keys = jax.random.split(key, len(leaves))
    drawn = jax.tree.unflatten(structure, [jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves)])
    _, derivative = jax.jvp(lambda theta: loss(theta, images, labels), (theta,), (drawn,))
    return jax.tree.map(lambda tangent: derivative * tangent, drawn)


METHODS = {
    "forward": lambda theta, images, labels, key: loss(theta, images, labels),
    "backprop": lambda theta, images, labels, key: jax.grad(loss)(theta, images, labels),
    "backprop-checkpointed": lambda theta, images, labels, key: jax.grad(loss)(theta, images, labels, jax.checkpoint),
    "jvp-weights": jvp_weights,
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
