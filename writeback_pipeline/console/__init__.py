"""The pages: what an administrator sees in a browser. A shell like the command line; it knows no implementation."""
