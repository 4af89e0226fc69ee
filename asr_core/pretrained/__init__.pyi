from .cache import cached as cached
from .cache import path_of as path_of
from .catalogue import PRETRAINED as PRETRAINED
from .catalogue import Pretrained as Pretrained
from .checks import verify as verify
from .download import fetch as fetch
