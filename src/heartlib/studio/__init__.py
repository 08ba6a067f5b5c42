"""The studio: a page on which songs are made, heard, compared and sung on, for a browser."""
