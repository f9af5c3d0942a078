"""The engine: containers, images, networks, volumes and the operations on them."""
