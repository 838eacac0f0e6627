"""Who is at the keyboard, as the ledger's history names them."""

import os
import pwd


def operator() -> str:
    """The operating system's name for whoever runs this; not an environment variable, which anybody can set."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
