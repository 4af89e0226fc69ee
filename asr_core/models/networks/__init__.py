"""The paper's backbones that torchvision lacks, one a module."""
