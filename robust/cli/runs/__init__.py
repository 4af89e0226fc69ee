"""Commands that make or measure runs."""
