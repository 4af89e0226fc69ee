"""Backbones that torchvision lacks."""

from asr_core.models.resnet_cifar import ResNetCIFAR, resnet83, resnet164, resnet_cifar

__all__ = ["ResNetCIFAR", "resnet83", "resnet164", "resnet_cifar"]
