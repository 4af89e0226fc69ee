from .gatys import optimise_picture
from .inference import fold_network, stylize
from .losses.choose import loss_network
from .losses.perceptual import LossTerms, PerceptualLoss
from .network import NORMS, StyleNetwork
from .recipe import StyleRecipe
from .train import evaluate, train_style
from .zoo import StyleCheckpoint, load_network, save_network, select, shipped

__all__ = [
    "NORMS",
    "LossTerms",
    "PerceptualLoss",
    "StyleCheckpoint",
    "StyleNetwork",
    "StyleRecipe",
    "evaluate",
    "fold_network",
    "load_network",
    "loss_network",
    "optimise_picture",
    "save_network",
    "select",
    "shipped",
    "stylize",
    "train_style",
]
