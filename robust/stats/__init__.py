"""Intervals over seeds and images, and the words that they carry."""
