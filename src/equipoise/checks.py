"""Checks of hyper-parameters that more than one kind of component makes."""


def at_least(least: int | float, **values: int | float) -> None:
    """Raises ValueError for the first of the named values that is below `least`."""
    for name, value in values.items():
        if not value >= least:
            raise ValueError(f"{name} must be at least {least}, not {value}")
