"""Normalisation noise, style networks, robustness of classifiers, and the command ``robust``.

::

    result = robust.attack("batch", style="mosaic")        # .table, .answers, .grid, .frame()
    with robust.noise(model, "constant", (0.8, 0.5)):      # any model
        logits = model(images)
    pictures = robust.stylize(images, style="mosaic", norm="bn+asr")

Nothing is imported before a name is used: ``robust --help`` answers without torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
