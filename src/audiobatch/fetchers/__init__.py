"""Where torrents come from: one source in each module."""
