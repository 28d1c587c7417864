"""Steps of the guess `feedback` in JAX, on the network of compare_with_jax.py: what is fed back, measured and learnt."""

import jax
import jax.numpy as jnp

FEEDBACK = "--guess feedback --space activity"
KEPT = "--guess-feedback-start uniform --guess-feedback-rate 0"
RATE, DECAY = 0.25, 0.01


class Feedback:
    """One mini-batch's steps; `reference` has the network's blocks, their inputs and exact gradients."""

    def __init__(self, reference, block, outputs, cross_entropy):
        self.reference, self.block, self.outputs = reference, block, outputs
        self.last = len(reference.inputs) - 2
        self.samples = len(reference.labels)
        z = outputs(reference.inputs[-1], reference.theta)
        self.error = jax.grad(lambda z: cross_entropy(z, reference.labels))(z)
        self.targets = -jax.nn.one_hot(reference.labels, z.shape[1]) / self.samples

    def from_outputs_of(self, number, y):
        """The network's outputs from a block's."""
        for later in range(number + 1, self.last + 1):
            y = self.block(later, y, self.reference.theta)
        return self.outputs(y, self.reference.theta)

    def perturbed(self, noise):
        """The network's outputs, with something added to every block's but the last."""
        y = self.reference.inputs[0]
        for number in range(self.last + 1):
            y = self.block(number, y, self.reference.theta) + noise.get(number, 0)
        return self.outputs(y, self.reference.theta)

    def update(self, directions):
        """Each direction at a block's output pulled back to the block's weights."""
        update = dict(self.reference.exact)
        for number, direction in directions.items():
            x = self.reference.inputs[number]
            pull = jax.vjp(lambda theta: self.block(number, x, theta), self.reference.theta)[1]
            update |= self.reference.of(number, pull(direction)[0])
        return update

    def directions(self, matrices, error):
        return {number: jnp.einsum("nk,kchw->nchw", error, matrix) for number, matrix in matrices.items()}

    def measured(self, directions):
        """Each sample's direction with norm 1, times the derivative of the sample's part of the loss along all of them."""
        scaled = {}
        for number, direction in directions.items():
            unit = direction / jnp.sqrt((direction**2).sum((1, 2, 3), keepdims=True))
            along = jax.jvp(lambda y: self.from_outputs_of(number, y), (self.reference.inputs[number + 1],), (unit,))[1]
            scaled[number] = (self.error * along).sum(1)[:, None, None, None] * unit
        return scaled

    def jacobians(self, noise):
        """The mean of each sample's outputs' tangent times its noise."""
        still = {number: jnp.zeros_like(own) for number, own in noise.items()}
        tangent = jax.jvp(self.perturbed, (still,), (noise,))[1]
        return {number: jnp.einsum("nk,nchw->kchw", tangent, own) / self.samples for number, own in noise.items()}

    def last_layers(self):
        """The gradient of a last layer's weights on each block's output."""
        outputs = self.reference.inputs[1:-1]
        return {number: jnp.einsum("nk,nchw->kchw", self.error, y) for number, y in enumerate(outputs)}


def named(update, matrices):
    """A step's update and the matrices that it leaves, by their names in the file."""
    states = {f"state/guess.feedback.blocks.{number}": matrix for number, matrix in matrices.items()}
    return {f"update/{path}": value for path, value in update.items()} | states


def methods(feedback):
    """Names, flags, and what a step must give: a function of what it has drawn, which is all that is taken from it."""
    begun = {}

    def by_block(found, prefix):
        return {number: jnp.asarray(found[f"{prefix}{number}"]) for number in range(feedback.last)}

    def kept(error, measure):
        def expected(found):
            begun.update(by_block(found, "state/guess.feedback.blocks."))
            directions = feedback.directions(begun, error)
            return named(feedback.update(feedback.measured(directions) if measure else directions), begun)

        return expected

    def followed(found):
        return feedback.jacobians(by_block(found, "guess/noise/blocks."))

    def mean_from_zero(found):
        still = {number: jnp.zeros_like(direction) for number, direction in feedback.directions(begun, feedback.error).items()}
        return named(feedback.update(still), followed(found))

    def mean(found):
        estimates = followed(found)
        after = {number: matrix + RATE * (estimates[number] - matrix) for number, matrix in begun.items()}
        return named(feedback.update(feedback.directions(begun, feedback.error)), after)

    def kolen_pollack(_):
        gradients = feedback.last_layers()
        after = {number: matrix - RATE * (gradients[number] + DECAY * matrix) for number, matrix in begun.items()}
        return named(feedback.update(feedback.measured(feedback.directions(begun, feedback.error))), after)

    by_mean = f"--guess-feedback-rule mean --guess-feedback-rate {RATE}"
    by_last_layer = f"{by_mean} --guess-feedback-follows kolen-pollack --guess-feedback-decay {DECAY}"
    uniform, off = "--guess-feedback-start uniform", "--projection off"
    yield "direct feedback alignment", f"{FEEDBACK} {KEPT} {off}", kept(feedback.error, False)
    yield "the same, projected", f"{FEEDBACK} {KEPT}", kept(feedback.error, True)
    yield "labels, projected", f"{FEEDBACK} {KEPT} --guess-feedback-source label", kept(feedback.targets, True)
    yield "labels", f"{FEEDBACK} {KEPT} --guess-feedback-source label {off}", kept(feedback.targets, False)
    yield "feedback from zero", f"{FEEDBACK} {by_mean}", mean_from_zero
    yield "feedback, unprojected", f"{FEEDBACK} {uniform} {by_mean} {off}", mean
    yield "direct Kolen-Pollack, projected", f"{FEEDBACK} {uniform} {by_last_layer}", kolen_pollack
