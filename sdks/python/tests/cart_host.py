"""A host program, for tests that end it with signals."""

from cart import Cart

from callboard import run, serve

if __name__ == "__main__":
    run(serve(Cart))
