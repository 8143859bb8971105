"""The verbs of the command line, a module each: a class of the same name, whose fields are the flags."""
