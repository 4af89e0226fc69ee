"""Perceptual losses of style transfer."""
