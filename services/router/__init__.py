"""Router: decides where each recipient of a message goes next."""
