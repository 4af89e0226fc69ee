"""The stripe observation made visible: heat maps, changes over epochs, spatial attention."""
