"""The command line: each file parses, calls and prints for one family of commands."""
