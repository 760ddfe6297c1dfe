"""Runs delivery alone: ``python -m services.delivery``."""

from services.delivery.main import main

main()
