"""VGG8b without dropout in JAX, with the losses of Nokland & Eidnes (2019) behind its blocks; compared by compare_with_jax.py."""

import subprocess

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

HEADS = ("predsim-vgg", "similarity", "prediction")
DEPTH = 7
# The blocks that begin with a 2x2 maximum pool; the last of them is the fully connected layer.
POOLED = (2, 4, 5, 6)
MOST_FEATURES = 2048


def model(binary, head, folder):
    """The flags of the network, whose file without dropout this writes."""
    shown = subprocess.run([binary, "model", "show", "vgg8b"], check=True, capture_output=True, text=True).stdout
    path = f"{folder}/vgg8b-without-dropout.toml"
    with open(path, "w") as file:
        file.write(shown.replace("rate = 0.2", "rate = 0.0").replace('name = "vgg8b"', 'name = "without-dropout"'))
    return f"--model {path} --width 0.125 --head {head}"


# The network.


def convolution(x, weight):
    order = ("NCHW", "OIHW", "NCHW")
    return jax.lax.conv_general_dilated(x, weight, (1, 1), [(1, 1)] * 2, dimension_numbers=order)


def tiles(x, tall, wide):
    """Windows side by side, the pixels of each on axes 3 and 5."""
    samples, channels, height, width = x.shape
    return x.reshape(samples, channels, height // tall, tall, width // wide, wide)


def norm(x, theta, name):
    axes, shape = ((0, 2, 3), (1, -1, 1, 1)) if x.ndim == 4 else ((0,), (1, -1))
    centred = x - x.mean(axes, keepdims=True)
    x_hat = centred / jnp.sqrt((centred**2).mean(axes, keepdims=True) + 1e-5)
    return x_hat * theta[f"{name}.weight"].reshape(shape) + theta[f"{name}.bias"].reshape(shape)


def block(number, x, theta):
    # Dropout, which does nothing here, has a number too; so have the pool and what makes features of maps.
    layer = (number > 0) + (number in POOLED) + (number == DEPTH - 1)
    if number in POOLED:
        x = tiles(x, 2, 2).max((3, 5))
    weight = theta[f"blocks.{number}.{layer}.weight"]
    x = x.reshape(len(x), -1) @ weight.T if number == DEPTH - 1 else convolution(x, weight)
    return jax.nn.leaky_relu(norm(x, theta, f"blocks.{number}.{layer + 1}"), 0.01)


def cross_entropy(outputs, labels):
    return -jnp.mean(jax.nn.log_softmax(outputs)[jnp.arange(len(labels)), labels])


def classifier(x, labels, theta):
    return cross_entropy(x @ theta["fc.weight"].T + theta["fc.bias"], labels)


# The losses behind a block.


def similarities(rows):
    centred = rows - rows.mean(1, keepdims=True)
    unit = centred / (1e-8 + jnp.sqrt((centred**2).sum(1, keepdims=True)))
    return unit @ unit.T


def similarity(y, labels, theta, name):
    deviations = convolution(y, theta[f"{name}0.weight"]).std((2, 3), ddof=1)
    return jnp.mean((similarities(deviations) - similarities(jax.nn.one_hot(labels, 10, dtype=y.dtype))) ** 2)


def windows(shape):
    """Height, then width is doubled until few enough features are left; sides are powers of two."""
    _, channels, height, width = shape
    tall = wide = 1
    while channels * (height // tall) * (width // wide) > MOST_FEATURES:
        if tall == wide:
            tall *= 2
        else:
            wide *= 2
    return tall, wide


def prediction(y, labels, theta, name):
    features = tiles(y, *windows(y.shape)).mean((3, 5)).reshape(len(y), -1)
    return cross_entropy(features @ theta[f"{name}2.weight"].T + theta[f"{name}2.bias"], labels)


def head_loss(kind, number, y, labels, theta):
    name = f"heads.{number}."
    if kind == "similarity":
        return similarity(y, labels, theta, name)
    if kind == "prediction":
        return prediction(y, labels, theta, name)
    both = [loss(y, labels, theta, f"{name}{loss.__name__}.") for loss in (similarity, prediction)]
    return 0.99 * both[0] + 0.01 * both[1]


# One step.


def learnt(theta, folder):
    """Weights in which predictions do not stand at 0, where nothing would go back through them; the network's file is written anew."""
    generator = np.random.default_rng(2)
    drawn = lambda value: generator.normal(0, 0.1, value.shape)
    full = {path: drawn(value) if not np.any(value) and path.startswith("heads.") else value for path, value in theta.items()}
    single = {path: np.ascontiguousarray(value, np.float32) for path, value in full.items()}
    save_file(single, f"{folder}/w.safetensors")
    return {path: jnp.asarray(value, jnp.float64) for path, value in single.items()}


def gradients(kind, theta, images, labels):
    """Of the network's loss, and of each head's in its block's parameters and its own."""

    def loss(theta, x):
        for number in range(DEPTH):
            x = block(number, x, theta)
        return classifier(x, labels, theta)

    local, x = {}, images
    for number in range(DEPTH - 1):
        own = lambda theta, x: head_loss(kind, number, block(number, x, theta), labels, theta)
        gradient = jax.jit(jax.grad(own))(theta, x)
        names = (f"blocks.{number}.", f"heads.{number}.")
        local |= {path: value for path, value in gradient.items() if path.startswith(names) and "running_" not in path}
        x = block(number, x, theta)
    target = {path: value for path, value in jax.jit(jax.grad(loss))(theta, images).items() if "running_" not in path}
    return target, local


def methods(kind):
    def steps(theta, images, labels, folder):
        target, local = gradients(kind, learnt(theta, folder), images, labels)
        last = (f"blocks.{DEPTH - 1}.", "fc.")
        exact = {path: value for path, value in target.items() if path.startswith(last)}
        guessed = [path for path in local if path.startswith("blocks.")]
        along = sum(jnp.vdot(local[path], target[path]) for path in guessed)
        square = sum(jnp.vdot(local[path], local[path]) for path in guessed)
        projected = {path: along / square * local[path] for path in guessed}
        yield f"{kind}, local learning", "--guess exact --target local", local | exact
        yield f"{kind}, weight, network, forward", "--granularity network", local | projected | exact

    return steps
