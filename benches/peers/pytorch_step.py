#!/usr/bin/env python3
"""Time and peak memory of one training step of ResNet-18 (CIFAR stem), small-net or mlp in PyTorch; one JSON object on standard output.

The step does what `foregrad bench` does under the same name, in the way that is fastest in PyTorch: one forward pass
(`two-passes`: two, as is usual where targets and guesses are computed apart), gradients asked for exactly where they are
needed, channels-last memory.
"""

import argparse
import json
import resource
import time

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

WIDTHS, CLASSES, HEAD_CHANNELS = [64, 64, 128, 128, 256, 256, 512, 512], 10, 32
SMALL_WIDTHS = [64, 64, 128, 128, 256, 256]
MLP_WIDTHS = [512, 512, 512]


def convolution(inputs, outputs, kernel, stride):
    layers = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs)
    return nn.Sequential(*layers)


class Block(nn.Module):
    """A residual block; the first has the stem before it."""

    def __init__(self, inputs, outputs, stride, stem):
        super().__init__()
        self.stem = nn.Sequential(convolution(3, inputs, 3, 1), nn.ReLU(inplace=True)) if stem else nn.Identity()
        first = convolution(inputs, outputs, 3, stride)
        self.body = nn.Sequential(first, nn.ReLU(inplace=True), convolution(outputs, outputs, 3, 1))
        plain = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if plain else convolution(inputs, outputs, 1, stride)

    def forward(self, x):
        x = self.stem(x)
        return F.relu(self.body(x) + self.shortcut(x), inplace=True)


class Head(nn.Sequential):
    """1x1 convolution, three 3x3 convolutions of stride 2, 2x2 pool, linear."""

    def __init__(self, inputs):
        layers = []
        for layer in range(4):
            kernel, stride = (1, 1) if layer == 0 else (3, 2)
            layers += [*convolution(inputs, HEAD_CHANNELS, kernel, stride), nn.ReLU(inplace=True)]
            inputs = HEAD_CHANNELS
        super().__init__(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * inputs, CLASSES))


class Network(nn.Module):
    """Blocks, a head for each but the last, and a classifier."""

    def __init__(self, blocks, heads, classifier):
        super().__init__()
        self.blocks, self.heads, self.classifier = nn.ModuleList(blocks), nn.ModuleList(heads), classifier

    @staticmethod
    def of_means(features):
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, CLASSES))

    @classmethod
    def resnet(cls):
        inputs = [64, *WIDTHS[:-1]]
        strides = [1, 1, 2, 1, 2, 1, 2, 1]
        blocks = [Block(i, o, s, n == 0) for n, (i, o, s) in enumerate(zip(inputs, WIDTHS, strides))]
        return cls(blocks, [Head(width) for width in WIDTHS[:-1]], cls.of_means(WIDTHS[-1]))

    @classmethod
    def small(cls, width):
        """Convolution, norm and rectifier in each block, a pool before every other one; without heads."""
        widths = [round(width * channels) for channels in SMALL_WIDTHS]
        pools = [nn.AvgPool2d(2) if block % 2 else nn.Identity() for block in range(len(widths))]
        inputs = [3, *widths[:-1]]
        layers = [(p, *convolution(i, o, 3, 1), nn.ReLU(inplace=True)) for p, i, o in zip(pools, inputs, widths)]
        return cls([nn.Sequential(*block) for block in layers], [], cls.of_means(widths[-1]))

    @classmethod
    def mlp(cls, width):
        """Linear layer, norm and rectifier in each block; without heads."""
        widths = [round(width * features) for features in MLP_WIDTHS]
        inputs = [3 * 32 * 32, *widths[:-1]]
        layers = [(nn.Linear(i, o, bias=False), nn.BatchNorm1d(o), nn.ReLU(inplace=True)) for i, o in zip(inputs, widths)]
        blocks = [nn.Sequential(nn.Flatten(), *block) for block in layers]
        return cls(blocks, [], nn.Linear(widths[-1], CLASSES))

    def loss(self, images, labels):
        for block in self.blocks:
            images = block(images)
        return F.cross_entropy(self.classifier(images), labels)

    forward = loss

    def outputs(self, images):
        outputs = []
        for block in self.blocks:
            images = block(images)
            outputs.append(images)
        return outputs

    def trunk(self):
        return [*self.blocks.parameters(), *self.classifier.parameters()]


def forward(network, images, labels):
    with torch.no_grad():
        network.loss(images, labels)


def backprop(network, images, labels):
    torch.autograd.grad(network.loss(images, labels), network.trunk())


def backprop_checkpointed(network, images, labels):
    x = images
    for block in network.blocks:
        x = checkpoint(block, x, use_reentrant=False)
    torch.autograd.grad(F.cross_entropy(network.classifier(x), labels), network.trunk())


def jvp_weights(network, images, labels):
    names = {n: p.detach() for n, p in network.named_parameters() if not n.startswith("heads.")}
    tangents = {name: torch.randn_like(value) for name, value in names.items()}

    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            # A transform may not change the moving averages; batch statistics are used all the same.
            module.track_running_stats, module.num_batches_tracked = False, None
            module.running_mean = module.running_var = None

    def run(theta):
        return torch.func.functional_call(network, theta, (images, labels))

    with torch.no_grad():
        _, derivative = torch.func.jvp(run, (names,), (tangents,))
        for tangent in tangents.values():
            tangent.mul_(derivative)


def local_weight(network, images, labels):
    """Eq. 4, one scalar a tensor: guesses from the heads' losses, targets from the network's: two backward passes."""
    outputs = network.outputs(images)
    guesses = []
    for block, head, output in zip(network.blocks, network.heads, outputs):
        own, of_head = list(block.parameters()), list(head.parameters())
        gradients = torch.autograd.grad(F.cross_entropy(head(output), labels), own + of_head, retain_graph=True)
        guesses += gradients[: len(own)]
    loss = F.cross_entropy(network.classifier(outputs[-1]), labels)
    targets = torch.autograd.grad(loss, network.trunk())
    with torch.no_grad():
        for target, guess in zip(targets, guesses):
            guess.mul_((target * guess).sum() / (guess * guess).sum().clamp_min(1e-30))


def local_activity(network, images, labels):
    """Eq. 5, one scalar a sample: guesses and targets at the blocks' outputs, then each block's weight gradient."""
    outputs = network.outputs(images)
    guesses = []
    for head, output in zip(network.heads, outputs):
        wanted = [output, *head.parameters()]
        guesses.append(torch.autograd.grad(F.cross_entropy(head(output), labels), wanted, retain_graph=True)[0])
    loss = F.cross_entropy(network.classifier(outputs[-1]), labels)
    last = [*network.blocks[-1].parameters(), *network.classifier.parameters()]
    targets = torch.autograd.grad(loss, [*outputs[:-1], *last], retain_graph=True)
    for block, output, target, guess in zip(network.blocks, outputs, targets, guesses):
        torch.autograd.grad(output, list(block.parameters()), projected(target, guess), retain_graph=True)


def local_activity_two_passes(network, images, labels):
    """Eq. 5 with a forward pass for the targets and another for the guesses, whose graph ends with every block."""
    outputs = network.outputs(images)
    loss = F.cross_entropy(network.classifier(outputs[-1]), labels)
    last = [*network.blocks[-1].parameters(), *network.classifier.parameters()]
    targets = torch.autograd.grad(loss, [*outputs[:-1], *last])
    x = images
    for block, head, target in zip(network.blocks, network.heads, targets):
        output = block(x)
        wanted = [output, *head.parameters()]
        guess = torch.autograd.grad(F.cross_entropy(head(output), labels), wanted, retain_graph=True)[0]
        torch.autograd.grad(output, list(block.parameters()), projected(target, guess))
        x = output.detach()


def projected(target, guess):
    """The projection of every sample's target on its guess."""
    axes = (1, 2, 3)
    return guess * ((target * guess).sum(axes, keepdim=True) / (guess * guess).sum(axes, keepdim=True).clamp_min(1e-30))


METHODS = {
    "forward": forward,
    "backprop": backprop,
    "backprop-checkpointed": backprop_checkpointed,
    "jvp-weights": jvp_weights,
    "local-weight-tensor-oracle": local_weight,
    "local-activity-oracle": local_activity,
    "local-activity-oracle-two-passes": local_activity_two_passes,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=METHODS, required=True)
    parser.add_argument("--model", choices=["resnet18-8b", "small-net", "mlp"], default="resnet18-8b")
    parser.add_argument("--width", type=float, default=1.0, help="of small-net and mlp; those of their methods that need no heads")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--tf32", action="store_true", help="of a GPU: products of numbers rounded to ten bits")
    arguments = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = arguments.tf32
    wait = torch.cuda.synchronize if arguments.device == "cuda" else lambda: None
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    made = {"resnet18-8b": Network.resnet, "small-net": lambda: Network.small(arguments.width), "mlp": lambda: Network.mlp(arguments.width)}
    network = made[arguments.model]()
    network = network.to(arguments.device, memory_format=torch.channels_last)
    images = torch.randn(arguments.batch, 3, 32, 32).to(arguments.device, memory_format=torch.channels_last)
    labels = (torch.arange(arguments.batch) % CLASSES).to(arguments.device)
    seconds = []
    for step in range(arguments.steps + 1):
        began = time.perf_counter()
        METHODS[arguments.method](network, images, labels)
        wait()
        if step:
            seconds.append(time.perf_counter() - began)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    peak = torch.cuda.max_memory_allocated() if arguments.device == "cuda" else own
    print(json.dumps({"method": arguments.method, "seconds": seconds, "peak_memory": peak}))


if __name__ == "__main__":
    main()
