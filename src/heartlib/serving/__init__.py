"""Songs for many people at once."""
