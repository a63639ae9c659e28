"""What `--send` is given: a protocol, where to, and options."""

import math
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from core.errors import InputError

_COMMON: Final = ("mirror", "rate")
_PORTS: Final = {"vmc": 39539, "livelink": 11111, "ifacialmocap": 49983, "osf": 11573, "ws": 8765}
_OPTIONS: Final = {
    "vmc": ("names", "shapes"),
    "livelink": ("subject", "angles", "pitch"),
    "ifacialmocap": ("version", "greeting"),
    "osf": (),
    "ws": ("origin",),
}
_CHOICES: Final = {
    "mirror": ("0", "1"),
    "names": ("vrm0", "vrm1"),
    "shapes": ("all", "presets", "arkit"),
    "angles": ("radians", "half-turns"),
    "pitch": ("up", "down"),
    "version": ("1", "2"),
    "greeting": ("0", "1"),
}
_FASTEST_HZ: Final = 240.0
_LONGEST_SUBJECT: Final = 64


@dataclass(frozen=True)
class Address:
    """One place to send motion to.

    Attributes:
        text: as it was given, with the port where that was left out.
        scheme, host, port: "vmc", "127.0.0.1", 39539.
        options: those of the protocol, checked against what it knows.
        mirror: whether the person's left moves the other's right.
        rate_hz: the most moments a second; infinite unless it was given.
    """

    text: str
    scheme: str
    host: str
    port: int
    options: Mapping[str, str]
    mirror: bool = False
    rate_hz: float = math.inf

    @staticmethod
    def parse(given: str) -> "Address":
        """Raises InputError, which names --send."""
        told = f"--send {given}"
        try:
            url = urlsplit(given)
            scheme, host, port = url.scheme, url.hostname, url.port
            options = parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query))
        except ValueError as error:
            raise InputError(f"{told}: cannot be read ({error}); give PROTOCOL://HOST:PORT?option=value") from None
        if scheme in _PORTS and "://" not in given:
            rest = given.partition(":")[2].lstrip("/") or f"127.0.0.1:{_PORTS[scheme]}"
            raise InputError(f"{told}: // is missing after {scheme}:, write {scheme}://{rest}")
        if scheme not in _PORTS or "://" not in given:
            raise InputError(f"{told}: expected {', '.join(_PORTS)} before ://, such as vmc://127.0.0.1:39539")
        if not host or url.path not in ("", "/") or url.username is not None or url.fragment:
            raise InputError(f"{told}: expected a host after ://, such as {scheme}://127.0.0.1:{_PORTS[scheme]}")
        if port == 0:
            raise InputError(f"{told}: port 0 is none; give one from 1 to 65535")
        values = _checked(options, scheme, told)
        return Address(
            text=given if port is not None else given.replace(url.netloc, f"{url.netloc}:{_PORTS[scheme]}", 1),
            scheme=scheme,
            host=host,
            port=port or _PORTS[scheme],
            options={name: value for name, value in values.items() if name not in _COMMON},
            mirror=values.get("mirror") == "1",
            rate_hz=_rate(values.get("rate"), told),
        )


def _checked(options: list[tuple[str, str]], scheme: str, told: str) -> dict[str, str]:
    known = (*_OPTIONS[scheme], *_COMMON)
    values: dict[str, str] = {}
    for name, value in options:
        if name not in known:
            raise InputError(f"{told}: {scheme} knows {', '.join(known)}; {name} is none of them, leave it out")
        if name in values:
            raise InputError(f"{told}: {name} stands there twice; leave one out")
        if (choices := _CHOICES.get(name)) is not None and value not in choices:
            raise InputError(f"{told}: expected {name}={' or '.join(choices)}, got {value}")
        values[name] = value
    subject = values.get("subject", "vfa")
    if not (0 < len(subject.encode()) <= _LONGEST_SUBJECT and subject.isprintable()):
        raise InputError(f"{told}: expected a subject of 1 to {_LONGEST_SUBJECT} letters")
    return values


def _rate(given: str | None, told: str) -> float:
    if given is None:
        return math.inf
    try:
        rate_hz = float(given)
    except ValueError:
        rate_hz = math.nan
    if not 0 < rate_hz <= _FASTEST_HZ:
        raise InputError(f"{told}: expected rate=N, times a second up to {_FASTEST_HZ:.0f}, got {given}")
    return rate_hz


def resolved(host: str, port: int, told: str) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """The numbers behind a host's name. Raises InputError, which begins with `told`, where there are none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{told}: there is no host {host} ({reason}); check its name, or give its number") from None
    family, _, _, _, address = found[0]
    return family, (str(address[0]), int(address[1]))
