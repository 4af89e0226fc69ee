"""Vision transformers on patches of 16 (Dosovitskiy et al. 2021, arXiv 2010.11929, table 1)."""

from __future__ import annotations

from torchvision.models import VisionTransformer


def vit_s_16(num_classes: int, *, image_size: int = 224) -> VisionTransformer:
    """ViT-S/16 (Touvron et al. 2021, arXiv 2012.12877): 22,050,664 parameters at 1000 classes.

    Images (N, 3, ``image_size``, ``image_size``) -> logits (N, ``num_classes``).
    """
    return VisionTransformer(image_size, 16, 12, 6, 384, 1536, num_classes=num_classes)


def vit_b_16(num_classes: int, *, image_size: int = 224) -> VisionTransformer:
    """ViT-B/16: 86,567,656 parameters at 1000 classes.

    Images (N, 3, ``image_size``, ``image_size``) -> logits (N, ``num_classes``).
    """
    return VisionTransformer(image_size, 16, 12, 12, 768, 3072, num_classes=num_classes)
