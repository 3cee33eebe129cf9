"""Numbers as answers say them, in the terminal and on a page."""


def percent(chance: float) -> str:
    """A chance in whole percent; draws cannot tell 0 or 1 from something near.

    Example:
        >>> percent(0.483), percent(1.0), percent(0.002)
        ('48 %', '>99 %', '<1 %')
    """
    if chance > 0.995:
        return ">99 %"
    return "<1 %" if chance < 0.005 else f"{100 * chance:.0f} %"
