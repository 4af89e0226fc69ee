"""Parameters and speed of classifiers, beside the paper's Table 1."""
