"""Fast style transfer in norm variants: IN, BN, BN+ASR and the control BN+const.

::

    checkpoint, = select(shipped(), style="mosaic", norm="bn+asr", seed=0)
    network, facts = load_network(checkpoint.path)
    pictures = stylize(network, images)  # (N, 3, H, W) in [0, 1], as the images

The names of ``__init__.pyi`` are imported on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
