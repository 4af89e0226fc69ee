"""``shapes``: 25 figures in two photographs' textures, a set that needs a network.

Colour, contrast, place, size, slant and light are drawn independently of the class, figure and
ground are as often the brighter one, and all figures have strokes of one length. So sums over a
picture's pixels do not tell the class: its form does. Training and test have different photographs.
"""
