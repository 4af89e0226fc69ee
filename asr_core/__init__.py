"""Attention-alike structural re-parameterisation (ASR): attention at no inference cost.

::

    report = insert_asr(model, "se")         # then build the optimizer, and train
    plain = fuse_asr(model, example=images)  # the stock model, v folded in

What is exported stands in ``__init__.pyi``. It is imported when it is first used, so that what
needs no network (the errors, the limits) costs no import of torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
