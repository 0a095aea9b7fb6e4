"""Torrent clients: one adapter in each module."""
