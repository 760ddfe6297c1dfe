"""``python -m services.ingress``."""

from services.ingress.main import main

if __name__ == "__main__":
    main()
