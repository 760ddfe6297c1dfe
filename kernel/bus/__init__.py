"""The bus: moves work from service to service, and tells everybody what changed."""
