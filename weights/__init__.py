"""Where the official files come from and how their weights are read."""
