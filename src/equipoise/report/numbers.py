"""Numbers as people read them."""

from math import floor, isfinite, log10

SCALES = ((1e9, "B"), (1e6, "M"), (1e3, "k"))


def count(number: int | float | None) -> str:
    """With separators of thousands.

    >>> count(200000)
    '200,000'
    """
    return "not known" if number is None else f"{number:,.0f}"


def short(number: int | float) -> str:
    """As short as an axis needs it.

    >>> short(50000), short(1.5e6), short(0.25)
    ('50k', '1.5M', '0.25')
    """
    for scale, letter in SCALES:
        if abs(number) >= scale:
            return f"{number / scale:g}{letter}".replace("-", "\u2212")
    return f"{number:g}".replace("-", "\u2212")


def value(number: int | float | None) -> str:
    """Three significant digits.

    >>> value(321.4), value(14.23), value(0.51291)
    ('321', '14.2', '0.513')
    """
    if number is None:
        return "not known"
    if not isfinite(number):
        return "not a number"
    digits = 2 - floor(log10(abs(number))) if number else 0
    text = f"{number:.2e}" if digits > 7 else f"{number:,.{max(digits, 0)}f}"
    return text.replace("-", "\u2212")


def interval(ends: list[float]) -> str:
    """From the lower end to the upper one.

    >>> interval([2.712, 3.04])
    '2.71 to 3.04'
    """
    return " to ".join(map(value, ends))


def duration(seconds: int | float) -> str:
    """Two units of time at most.

    >>> duration(230), duration(5.25), duration(93784)
    ('3 min 50 s', '5.2 s', '1 d 2 h')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    days, rest = divmod(round(seconds), 86400)
    hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    parts = [f"{n} {unit}" for n, unit in ((days, "d"), (hours, "h"), (minutes, "min"), (left, "s"))]
    first = next((at for at, part in enumerate(parts) if not part.startswith("0 ")), 3)
    return " ".join(part for part in parts[first : first + 2] if not part.startswith("0 "))


def size(number: int | float) -> str:
    """Bytes in a unit that suits them.

    >>> size(710811648)
    '711 MB'
    """
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= scale:
            return f"{value(number / scale)} {unit}"
    return f"{number:.0f} bytes"


def speed(images: int | float, seconds: int | float) -> str:
    """Images per second.

    >>> speed(200000, 230)
    '870 images/s'
    """
    return f"{value(images / seconds)} images/s" if seconds > 0 and images > 0 else "not known"


def part(done: int | float, whole: int | float) -> str:
    """Whole per cent; 100 only where nothing is left.

    >>> part(1999, 2000)
    '99 %'
    """
    return f"{min(floor(100 * done / whole), 100)} %"
