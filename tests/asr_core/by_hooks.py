"""The definition of ASR on a plain model: the stock layers' outputs × v, by hooks."""

from torch import nn
from torchvision.models.swin_transformer import ShiftedWindowAttention

# These read the weight of the layer that is gated without calling it.
READERS = (nn.MultiheadAttention, ShiftedWindowAttention)


def multiply_outputs(model, positions):
    """Make ``model``, a copy from before insertion, what gates at the ``positions`` should."""
    for p in positions:
        layer = model.get_submodule(p.name)
        parent = model.get_submodule(p.name.rpartition(".")[0])
        v = p.gate.scale().detach()

        def times(module, args, output, v=v, axis=p.axis):
            first = output[0] if isinstance(output, tuple) else output
            shape = [1] * first.ndim
            shape[axis] = -1
            scaled = first * v.reshape(shape)
            return (scaled, *output[1:]) if isinstance(output, tuple) else scaled

        (parent if isinstance(parent, READERS) else layer).register_forward_hook(times)
    return model
