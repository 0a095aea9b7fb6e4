"""The project: settings, and what a server starts."""
