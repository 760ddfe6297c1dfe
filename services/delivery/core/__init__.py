"""Decisions of delivery: frozen values in, frozen values out."""
