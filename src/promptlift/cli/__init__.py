"""The command. Each file parses, calls the library and prints; none decides anything."""
