"""Ways of detecting: volume in, named maps out."""
