"""The viewer of world pages, which runs in a browser, and a small server for them."""
