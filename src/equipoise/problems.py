"""What an error says, for people."""


def one_line(error: BaseException) -> str:
    """The first line of what it says, or of what kind it is where it says nothing.

    >>> one_line(RuntimeError("no compiler\\nSet VERBOSE=1")), one_line(EOFError())
    ('no compiler', 'EOFError')
    """
    return next((" ".join(line.split()) for line in str(error).splitlines() if line.strip()), type(error).__name__)
