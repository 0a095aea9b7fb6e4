"""Where records are kept: one storage in each module."""
