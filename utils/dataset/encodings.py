"""Text files in the encodings that spreadsheets write."""

import codecs
import shlex
from pathlib import Path

UTF8, UTF16, WINDOWS = "UTF-8", "UTF-16", "Windows-1252"
UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
BYTES_LOOKED_AT = 1000  # for the zero bytes of UTF-16, which no other text has


def encoding_of(content: bytes) -> str:
    """Return the encoding: Windows-1252 if the text is neither UTF-16 nor valid UTF-8."""
    if content.startswith(UTF16_MARKS) or b"\0" in content[:BYTES_LOOKED_AT]:
        return UTF16
    try:
        content.decode()
    except UnicodeDecodeError:
        return WINDOWS
    return UTF8


def decode(content: bytes) -> tuple[str, str]:
    """Return the text without a byte order mark, and its encoding.

    Raises
    ------
    UnicodeDecodeError
        If it is no text in any of the encodings.
    """
    encoding = encoding_of(content)
    if encoding != UTF16:
        return content.decode("utf-8-sig" if encoding == UTF8 else "cp1252"), encoding
    has_mark = content.startswith(UTF16_MARKS)
    return content.decode("utf-16" if has_mark else "utf-16-le"), encoding


def encoding_advice(path: Path) -> str:
    """Return what to do with a table that is not UTF-8."""
    encoding = encoding_of(path.read_bytes())
    return (
        f"it is not UTF-8, but seems to be {encoding}, as Excel writes it; save it as 'CSV UTF-8', or "
        f"convert it with: iconv -f {encoding.upper()} -t UTF-8 {shlex.quote(str(path))} > converted.csv"
    )
