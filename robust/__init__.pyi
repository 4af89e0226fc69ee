from .api import attack, noise
from .style.pictures import stylize, stylize_files

__all__ = ["attack", "noise", "stylize", "stylize_files"]
