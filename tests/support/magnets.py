"""Magnet links in many spellings, each of a torrent of its own."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

_TRACKER: Final = "tr=http%3A%2F%2Ftracker.invalid%2Fannounce"
_PASSKEY: Final = "tr=http%3A%2F%2Ftracker.invalid%2F{n}%2Fannounce%3Fkey%3Ds3cret"
_HOST: Final = "http://host.invalid/"


def _many(parameter: str, count: int) -> str:
    return "".join("&" + parameter.replace("{n}", str(number)) for number in range(count))


SPELLINGS: Final[dict[str, str]] = {
    # The info-hash itself.
    "hex": "magnet:?xt=urn:btih:{v1}",
    "upper case hex": "magnet:?xt=urn:btih:{V1}",
    "base32": "magnet:?xt=urn:btih:{B32}",
    "lower case base32": "magnet:?xt=urn:btih:{b32}",
    "base32 with a 1 for an I": "magnet:?xt=urn:btih:{one}",
    "v2": "magnet:?xt=urn:btmh:1220{v2}",
    "upper case v2": "magnet:?xt=urn:btmh:1220{V2}",
    "hybrid": "magnet:?xt=urn:btih:{v1}&xt=urn:btmh:1220{v2}",
    "hybrid, v2 first": "magnet:?xt=urn:btmh:1220{v2}&dn=Book&xt=urn:btih:{v1}",
    "hybrid, numbered": "magnet:?xt.1=urn:btih:{v1}&xt.2=urn:btmh:1220{v2}",
    "the same twice": "magnet:?xt=urn:btih:{v1}&xt=urn:btih:{B32}",
    # The topic.
    "xt.1": "magnet:?xt.1=urn:btih:{v1}",
    "xt.": "magnet:?xt.=urn:btih:{v1}",
    "xt.10 at the end": "magnet:?dn=Book&xt.10=urn:btih:{v1}",
    "XT": "magnet:?XT=urn:btih:{v1}",
    "percent-encoded topic": "magnet:?xt=urn%3Abtih%3A{v1}",
    "percent-encoded digit": "magnet:?xt=urn%3abtih%3a%{first:02x}{rest}",
    "percent-encoded v2": "magnet:?xt=urn%3Abtmh%3A1220{v2}",
    "URN:BTIH": "magnet:?xt=URN:BTIH:{v1}",
    "Urn:BtMh": "magnet:?xt=Urn:BtMh:1220{v2}",
    "percent-encoded name of the topic": "magnet:?%78t=urn:btih:{v1}",
    "last": f"magnet:?dn=Book&{_TRACKER}&xt=urn:btih:{{v1}}",
    # The start.
    "MAGNET": "MAGNET:?xt=urn:btih:{v1}",
    "without a question mark": "magnet:xt=urn:btih:{v1}",
    "ampersand first": "magnet:?&xt=urn:btih:{v1}",
    "two ampersands": "magnet:?xt=urn:btih:{v1}&&dn=Book",
    "ampersand last": "magnet:?xt=urn:btih:{v1}&",
    "only an equals sign before": "magnet:?=&xt=urn:btih:{v1}",
    "no value before": "magnet:?flag&xt=urn:btih:{v1}",
    "no value after": "magnet:?xt=urn:btih:{v1}&flag&dn=Book",
    # The display name.
    "empty name": "magnet:?xt=urn:btih:{v1}&dn=",
    "empty name first": "magnet:?dn=&xt=urn:btih:{v1}",
    "two names": "magnet:?xt=urn:btih:{v1}&dn=One&dn=Two",
    "plus signs": "magnet:?xt=urn:btih:{v1}&dn=A+Book+%2B+More",
    "plain spaces": "magnet:?xt=urn:btih:{v1}&dn=A Book",
    "equals sign in the name": "magnet:?xt=urn:btih:{v1}&dn=A=B",
    "hash sign in the name": "magnet:?xt=urn:btih:{v1}&dn=Book #1",
    "semicolons": "magnet:?xt=urn:btih:{v1}&dn=A;B;tr=C",
    "HTML entities": "magnet:?xt=urn:btih:{v1}&amp;dn=Book&amp;" + _TRACKER,
    "broken percent-encoding": "magnet:?xt=urn:btih:{v1}&dn=100%&x=%zz",
    "percent-encoding that is no UTF-8": "magnet:?xt=urn:btih:{v1}&dn=%FF%FE",
    "percent-encoded line break": "magnet:?xt=urn:btih:{v1}&dn=A%0D%0AB",
    "percent-encoded line break and link": f"magnet:?xt=urn:btih:{{v1}}&dn=A%0A{_HOST}x",
    "percent-encoded NUL": "magnet:?xt=urn:btih:{v1}&dn=A%00B",
    "percent-encoded line separator": "magnet:?xt=urn:btih:{v1}&dn=A%E2%80%A8B",
    "letters": "magnet:?xt=urn:btih:{v1}&dn=Bücher",
    "percent-encoded letters": "magnet:?xt=urn:btih:{v1}&dn=B%C3%BCcher",
    "no-break space": "magnet:?xt=urn:btih:{v1}&dn=A\u00a0Book",
    "ideographic space": "magnet:?xt=urn:btih:{v1}&dn=本\u3000一",
    "joiners": "magnet:?xt=urn:btih:{v1}&dn=\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645\u200d",
    "soft hyphen": "magnet:?xt=urn:btih:{v1}&dn=Hör\u00adbuch",
    "byte order mark": "magnet:?xt=urn:btih:{v1}&dn=\ufeffBook",
    "right-to-left mark": "magnet:?xt=urn:btih:{v1}&dn=\u202eBook",
    "emoji": "magnet:?xt=urn:btih:{v1}&dn=\U0001f3a7",
    "emoji of the newest Unicode": "magnet:?xt=urn:btih:{v1}&dn=\U0001fae9",
    "quotes and brackets": 'magnet:?xt=urn:btih:{v1}&dn="A" <B> [C] {{D}} |E| \\F ^G `H`',
    # Other parameters.
    "trackers": f"magnet:?xt=urn:btih:{{v1}}&{_TRACKER}&{_TRACKER}%3Fpasskey%3Ds3cret",
    "tracker that is not encoded": "magnet:?xt=urn:btih:{v1}&tr=http://tracker.invalid/announce?passkey=s3cret",
    "numbered trackers": f"magnet:?xt=urn:btih:{{v1}}&{_TRACKER.replace('tr', 'tr.1', 1)}",
    "empty tracker": "magnet:?xt=urn:btih:{v1}&tr=",
    "all the others": "magnet:?xt=urn:btih:{v1}&xl=1&as=http%3A%2F%2Fhost.invalid%2F&xs=http%3A%2F%2Fhost.invalid%2F"
    "&kt=audio+book&mt=http%3A%2F%2Fhost.invalid&ws=http%3A%2F%2Fhost.invalid%2Ff&x.pe=192.0.2.1:6881&so=0,2-3",
    "others that are broken": "magnet:?xt=urn:btih:{v1}&x.pe=nowhere&so=9-1,x&ws=&xl=many",
    "SHA-1 beside it": "magnet:?xt=urn:btih:{v1}&xt=urn:sha1:YNCKHTQCWBTRNJIV4WNAE52SJUQCZO5C",
    "eDonkey before it": "magnet:?xt=urn:ed2k:354B15E68FB8F36D7CD88FF94116CDC1&xt=urn:btih:{v1}",
    "mutable torrent beside it": "magnet:?xt=urn:btih:{v1}&xs=urn:btpk:" + "ab" * 32,
    "broken topic beside it": "magnet:?xt=urn:btih:{v1}&xt=urn:sha1:%zz",
    "broken info-hash beside it": "magnet:?xt=urn:btih:{v1}&xt=urn:btih:nothing",
    "another multihash beside it": "magnet:?xt=urn:btih:{v1}&xt=urn:btmh:1114" + "ab" * 20,
    # Size.
    "a hundred trackers": "magnet:?xt=urn:btih:{v1}" + _many(_PASSKEY, 100) + "&dn=Book",
    "four hundred trackers": "magnet:?xt=urn:btih:{v1}" + _many(_PASSKEY, 400) + "&dn=Book",
    "five thousand parameters": "magnet:?xt=urn:btih:{v1}" + _many("a={n}", 5000),
    "a long name": "magnet:?xt=urn:btih:{v1}&dn=" + "x" * 20_000,
    "a long name in Chinese": "magnet:?xt=urn:btih:{v1}&dn=" + "書" * 2_000 + "&" + _TRACKER,
    # Nothing certain.
    "two torrents": "magnet:?xt=urn:btih:{v1}&xt=urn:btih:{other}",
    "zeros": "magnet:?xt=urn:btih:" + "0" * 40,
    "no info-hash": "magnet:?dn=Book",
    "mutable torrent": "magnet:?xs=urn:btpk:" + "ab" * 32,
    "fragment": "magnet:?xt=urn:btih:{v1}#top",
    "space before the hash": "magnet:?xt=urn:btih: {v1}",
    "semicolon after the hash": "magnet:?xt=urn:btih:{v1};dn=Book",
    "short": "magnet:?xt=urn:btih:{v1}x",
    "base32 with a 0": "magnet:?xt=urn:btih:{zero}",
}
"""What the spelling is about, and the link; `link` fills in the info-hashes."""


def hashes(spelling: str) -> tuple[str, str]:
    """Return the v1 and the v2 info-hash that the link of this spelling has, where it has one."""
    return hashlib.sha1(spelling.encode()).hexdigest(), hashlib.sha256(spelling.encode()).hexdigest()


def link(spelling: str) -> str:
    """Return the link."""
    v1, v2 = hashes(spelling)
    base32 = base64.b32encode(bytes.fromhex(v1)).decode()
    return SPELLINGS[spelling].format(
        v1=v1,
        V1=v1.upper(),
        v2=v2,
        V2=v2.upper(),
        B32=base32,
        b32=base32.lower(),
        one=base32.replace("I", "1") if "I" in base32 else "1" + base32[1:],
        zero="0" + base32[1:],
        first=ord(v1[0]),
        rest=v1[1:],
        other=hashes(f"other than {spelling}")[0],
        n="{n}",
    )
