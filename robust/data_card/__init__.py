"""The card of a data set: can it decide what attention does? ``robust data card``."""
