"""Change the checkout as a whole or not at all."""
