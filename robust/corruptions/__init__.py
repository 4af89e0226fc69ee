"""The 15 standard corruptions of images, severities 1 to 5, and the errors made of them.

::

    corrupted = corrupt(images, "fog", 3, indices=range(len(images)), seed=0)
"""

from robust.corruptions.batch import FIXED, KINDS, corrupt
from robust.corruptions.tables import SEVERITIES, TABLES, table_for

__all__ = ["FIXED", "KINDS", "SEVERITIES", "TABLES", "corrupt", "table_for"]
