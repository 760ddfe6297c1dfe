"""Ingress takes mail from the network and makes it ours."""
