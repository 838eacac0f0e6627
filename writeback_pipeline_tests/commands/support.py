"""The command line as a process of its own."""

import sys

COMMAND = [sys.executable, "-c", "from writeback_pipeline.cli import main; main(prog_name='writebacks')"]
