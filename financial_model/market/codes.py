"""Codes of the mainland exchanges: how they are written, and what they name.

A code is text of an exchange and six digits, `SH600519`. It is parsed once, at the door. Six bare digits
are read as a stock: `000001` is Ping An Bank (SZ000001), while the Shanghai composite, which carries the
same digits, has to be written with its exchange (SH000001).
"""

import re

from ..base.errors import UnknownCode

EXCHANGES = ("SH", "SZ", "BJ")

# (exchange, prefix) -> board of an A share. The longest prefix wins.
STOCK_PREFIXES = {
    ("SH", "600"): "main",
    ("SH", "601"): "main",
    ("SH", "603"): "main",
    ("SH", "605"): "main",
    ("SH", "688"): "star",
    ("SH", "689"): "star",
    ("SZ", "000"): "main",
    ("SZ", "001"): "main",
    ("SZ", "002"): "main",
    ("SZ", "003"): "main",
    ("SZ", "300"): "chinext",
    ("SZ", "301"): "chinext",
    ("SZ", "302"): "chinext",
    ("BJ", "43"): "beijing",
    ("BJ", "83"): "beijing",
    ("BJ", "87"): "beijing",
    ("BJ", "88"): "beijing",
    ("BJ", "920"): "beijing",
}
INDEX_PREFIXES = (("SH", "000"), ("SH", "999"), ("SZ", "399"), ("BJ", "899"))
BOARDS = ("main", "chinext", "star", "beijing")

# Other programs' names of the exchanges.
EXCHANGE_ALIASES = {
    "SS": "SH",
    "XSHG": "SH",
    "SSE": "SH",
    "XSHE": "SZ",
    "SZSE": "SZ",
    "BSE": "BJ",
    "XBSE": "BJ",
}
_WRITTEN = re.compile(r"(?:([A-Za-z]{2,4})[.\-_#]?)?(\d{6})(?:[.\-_]?([A-Za-z]{2,4}))?")


def parse_code(text: str) -> str:
    """The code that `text` writes, as in SH600519; UnknownCode when it names nothing listed here.

    >>> parse_code("600519"), parse_code("600519.SH"), parse_code("sh.600519"), parse_code("000001")
    ('SH600519', 'SH600519', 'SH600519', 'SZ000001')
    >>> parse_code("920001"), parse_code("sh000001"), parse_code("SH#600519")
    ('BJ920001', 'SH000001', 'SH600519')
    """
    written = _WRITTEN.fullmatch(str(text).strip())
    if not written:
        raise UnknownCode(text)
    before, digits, after = written.groups()
    if before and after:
        raise UnknownCode(text)
    if not (before or after):
        for exchange in EXCHANGES:
            if (exchange, digits[:3]) in STOCK_PREFIXES or (exchange, digits[:2]) in STOCK_PREFIXES:
                return exchange + digits
        if digits.startswith("399"):
            return "SZ" + digits
        raise UnknownCode(text)
    exchange = (before or after).upper()
    exchange = EXCHANGE_ALIASES.get(exchange, exchange)
    code = exchange + digits
    if exchange not in EXCHANGES or not (is_stock(code) or is_index(code)):
        raise UnknownCode(text)
    return code


def board_of(code: str) -> str | None:
    """The board of an A share ("main", "chinext", "star", "beijing"); None for anything else.

    >>> board_of("SZ300750"), board_of("SH688981"), board_of("BJ920001"), board_of("SH000001")
    ('chinext', 'star', 'beijing', None)
    """
    exchange, digits = code[:2], code[2:]
    return STOCK_PREFIXES.get((exchange, digits[:3])) or STOCK_PREFIXES.get((exchange, digits[:2]))


def is_stock(code: str) -> bool:
    """Whether the code is an A share."""
    return board_of(code) is not None


def is_index(code: str) -> bool:
    """Whether the code is an index of an exchange.

    >>> is_index("SH000001"), is_index("SZ000001")
    (True, False)
    """
    return (code[:2], code[2:5]) in INDEX_PREFIXES
