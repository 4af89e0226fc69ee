"""The colours of variants in every picture and plot; nothing is imported."""

GROUP_COLOURS = ("#0072b2", "#b5480a", "#007a5a", "#8a4080", "#5f6a00", "#4a4a4a")
"""Dark enough for white text, and told apart with colour-vision deficiencies."""
AT_NIGHT = ("#6cb8ea", "#f2955c", "#4fc9a4", "#d59bcd", "#b7c148", "#bdbdbd")
"""The same hues on a dark ground."""
