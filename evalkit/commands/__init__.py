"""The commands: one file each, with SUMMARY, EXAMPLES, configure(parser) and run(arguments)."""
