"""The definition of ASR on a plain model: the stock layers' outputs × v, by hooks."""

from torch import nn
from torchvision.models.swin_transformer import ShiftedWindowAttention

# These read the weight of the layer that is gated without calling it.
READERS = (nn.MultiheadAttention, ShiftedWindowAttention)
ON_LAST_AXIS = (nn.LayerNorm, nn.RMSNorm)


def multiply_outputs(model, positions):
    """Make ``model``, a copy from before insertion, what gates at the ``positions`` should.

    v that went into the layers behind norms without γ multiplies the norms' outputs.
    """
    moved = set()
    for p in positions:
        v = p.gate.scale().detach()
        for name in moved.symmetric_difference(moved.union(p.norms)):
            norm = model.get_submodule(name)
            axis = -1 if isinstance(norm, ON_LAST_AXIS) else 1
            norm.register_forward_hook(lambda m, args, out, v=v, axis=axis: scaled(out, v, axis))
        moved.update(p.norms)
        layer = model.get_submodule(p.name)
        parent = model.get_submodule(p.name.rpartition(".")[0])
        if p.side == "output":

            def times(module, args, output, v=v, axis=p.axis):
                if isinstance(output, tuple):
                    return (scaled(output[0], v, axis), *output[1:])
                return scaled(output, v, axis)

            (parent if isinstance(parent, READERS) else layer).register_forward_hook(times)
        elif not p.norms:
            layer.register_forward_pre_hook(
                lambda m, args, v=v, axis=p.axis: (scaled(args[0], v, axis), *args[1:])
            )
    return model


def scaled(value, v, axis):
    """``value`` × v along ``axis``."""
    shape = [1] * value.ndim
    shape[axis] = -1
    return value * v.reshape(shape)
