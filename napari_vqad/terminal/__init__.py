"""The command line's terminal: exit codes, signals, and whether there is a screen."""
