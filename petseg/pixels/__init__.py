"""Photos in, and what is drawn of them out: numpy and Pillow alone."""
