"""Blobs: contents too large to travel inside their events."""
