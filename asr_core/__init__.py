"""Attention-alike structural re-parameterisation (ASR): attention at no inference cost.

::

    report = insert_asr(model, "se")         # then build the optimizer, and train
    plain = fuse_asr(model, example=images)  # the stock model, v folded in

The names are listed in ``__init__.pyi`` and imported on first use: the errors and limits need no
torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
