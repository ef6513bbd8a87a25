"""How one setting is trained, or several together: the models, their epochs, and what is reported of them."""
