"""What an error says, for people."""

LONGEST = 300  # characters


def one_line(error: BaseException) -> str:
    """What it says without line breaks, cut where it is long, or of what kind it is where it says nothing.

    >>> one_line(ValueError("cannot be opened:\\n- not gz\\n- not bz2")), one_line(EOFError())
    ('cannot be opened: - not gz - not bz2', 'EOFError')
    """
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
