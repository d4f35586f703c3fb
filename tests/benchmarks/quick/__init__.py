"""Every area of evalkit in five minutes: seconds of our code, of a peer's, and of the bare minimum; kept by commit."""
