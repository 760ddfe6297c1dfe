"""How collect reaches what is outside of it."""
