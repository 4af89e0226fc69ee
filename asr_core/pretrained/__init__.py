"""Published weights: the catalogue, fetching, reading and the cache.

Nothing is fetched unless :func:`fetch` is called. The names are listed in ``__init__.pyi`` and
imported on first use: the catalogue needs no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
