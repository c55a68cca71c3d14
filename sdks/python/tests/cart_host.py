"""A host program, for tests that end it with signals."""

from callboard import run, serve
from cart import Cart

if __name__ == "__main__":
    run(serve(Cart))
