"""Keeps the pages of other sites away from a server: the names that it answers to.

A page of another site can send requests to this machine; then Origin names the site, or, where the
page only embeds an answer (a picture, a script, a frame), Sec-Fetch-Site says that it is another
one. It can also point a name of its own at 127.0.0.1; then Host names the site. All are refused
before the server sees them, requests and websockets alike. Programs send neither.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import Any, Self

LOOPBACK = ("localhost", "127.0.0.1", "::1")
FORBIDDEN = 403
_POLICY_VIOLATION = 1008  # of a websocket
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(?::([0-9]{1,5}))?")
_NAMED = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._*-]+)(?::([0-9]{1,5}|\*))?")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]
Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Site:
    """A name, in small letters, and a port, None where none is written."""

    name: str
    port: int | None

    @classmethod
    def parse(cls, text: str, pattern: re.Pattern[str] = _HOST) -> Self | None:
        """What `NAME[:PORT]` says, as Host has it; None where it is no such text."""
        found = pattern.fullmatch(text.strip(" \t"))
        if found is None:
            return None
        name = found[1].strip("[]") if found[1].startswith("[") else found[1].removesuffix(".")
        try:
            name = ip_address(name).compressed
        except ValueError:
            if found[1].startswith("["):
                return None
        return cls(name.lower(), None if found[2] in (None, "*") else int(found[2]))

    def __str__(self) -> str:
        """As a header has it."""
        name = f"[{self.name}]" if ":" in self.name else self.name
        return name if self.port is None else f"{name}:{self.port}"


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a browser says of a request: its method, and the headers Sec-Fetch-*."""

    method: str
    site: str
    mode: str
    dest: str

    @property
    def is_embedded(self) -> bool:
        """Whether a page of another site puts the answer into itself; a link to it does not."""
        other = self.site in ("cross-site", "same-site")  # another port is the same site
        opened = (self.mode, self.dest) == ("navigate", "document")
        return other and not (opened and self.method in ("GET", "HEAD"))


@dataclass(frozen=True, slots=True)
class Guard:
    """The names of a server.

    Attributes:
        own: Those of the machine, and of the address that the server listens on.
        named: Those that the user named, without a port at any port; a star stands for any text.
    """

    own: frozenset[str]
    named: frozenset[Site]

    @classmethod
    def of(cls, host: str, names: str = "") -> Self:
        """The guard of a server.

        Args:
            host: The address that it listens on.
            names: Further `NAME[:PORT]`, separated by commas.

        Raises:
            ValueError: one of them is no name of a host.
        """
        written = [text.strip() for text in names.split(",") if text.strip()]
        sites = {text: Site.parse(text, _NAMED) for text in written}
        for text, site in sites.items():
            if site is None:
                raise ValueError(f"{text!r} is no name of a host; write NAME or NAME:PORT")
        bare = Site.parse(f"[{host}]" if ":" in host else host)
        own = frozenset([*LOOPBACK, *([bare.name] if bare else [])])
        return cls(own, frozenset(s for s in sites.values() if s is not None and s.name not in own))

    def refusal(
        self, hosts: list[str], origins: list[str], fetched: "Fetched | None" = None
    ) -> str | None:
        """Why a request is refused, None where it is not.

        Args:
            hosts: The values of its Host headers.
            origins: Those of its Origin headers.
            fetched: What a browser says of it.
        """
        host = Site.parse(hosts[0]) if len(hosts) == 1 else None
        if host is None or not self._answers_to(host):
            return f"this server has no name {', '.join(hosts)!a} (Host)"
        if not all(self._trusts(origin, host) for origin in origins):
            return f"pages of {', '.join(origins)!a} may not use this server (Origin)"
        if not origins and fetched is not None and fetched.is_embedded:
            return (
                "pages of other sites may not embed this server; open it in a tab (Sec-Fetch-Site)"
            )
        return None

    def _answers_to(self, host: Site) -> bool:
        ports = self._ports(host.name)
        return host.name in self.own or None in ports or host.port in ports

    def _ports(self, name: str) -> set[int | None]:
        """The ports that a name was given with."""
        return {each.port for each in self.named if fnmatchcase(name, each.name)}

    def _trusts(self, origin: str, host: Site) -> bool:
        """Whether a page is of this server: by Host, by another name of this machine, or named."""
        scheme, _, rest = origin.strip().partition("://")
        site, usual = Site.parse(rest), _DEFAULT_PORTS.get(scheme.lower())
        if site is None or usual is None:
            return False
        port = usual if site.port is None else site.port
        same_port = port == (usual if host.port is None else host.port)
        if same_port and (site.name == host.name or {site.name, host.name} <= self.own):
            return True
        ports = self._ports(site.name)
        return port in ports or (None in ports and (same_port or port == usual))


class GuardedAsgi:
    """An ASGI application that is reached only through a guard."""

    def __init__(self, app: Asgi, guard: Guard) -> None:
        """Take the application and the guard."""
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        why = None
        if scope["type"] in ("http", "websocket"):
            found = [(name.lower(), value.decode("latin-1")) for name, value in scope["headers"]]
            once = dict(found)
            says = (once.get(name, "") for name in _FETCHED)
            why = self._guard.refusal(
                [value for name, value in found if name == b"host"],
                [value for name, value in found if name == b"origin"],
                Fetched(scope.get("method", "GET"), *says),
            )
        if why is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        else:
            headers = [(name.lower().encode(), value.encode()) for name, value in _HEADERS]
            await send({"type": "http.response.start", "status": FORBIDDEN, "headers": headers})
            await send({"type": "http.response.body", "body": f"{why}\n".encode()})


def guarded_wsgi(app: Wsgi, guard: Guard) -> Wsgi:
    """A WSGI application that is reached only through a guard."""

    def answer(request: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        names = ("HTTP_HOST", "HTTP_ORIGIN")  # several headers of a name come as one, by commas
        hosts, origins = ([request[name]] if name in request else [] for name in names)
        says = (
            request.get(f"HTTP_{name.decode().upper().replace('-', '_')}", "") for name in _FETCHED
        )
        why = guard.refusal(hosts, origins, Fetched(request.get("REQUEST_METHOD", "GET"), *says))
        if why is None:
            return app(request, start_response)
        start_response(f"{FORBIDDEN} Forbidden", _HEADERS)
        return [f"{why}\n".encode()]

    return answer


_FETCHED = (b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest")
_HEADERS = [("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")]


def page_origins(guard: Guard, port: int) -> list[str]:
    """The pages of a server at `port`, as the headers of browsers name them."""
    own = [Site(name, port) for name in sorted(guard.own)]
    named = [
        Site(each.name, number)
        for each in sorted(guard.named, key=str)
        for number in ([None, port] if each.port is None else [each.port])
    ]
    secure = [f"https://{site}" for site in named]
    return [f"http://{site}" for site in [*own, *named]] + secure


def host_names(guard: Guard, port: int) -> list[str]:
    """The values of Host that a server answers to, as MLflow's own check writes them."""
    names = [Site(name, None) for name in sorted(guard.own)] + sorted(guard.named, key=str)
    ports = {site: str(port) if ":" in site.name else "*" for site in names}  # no star behind ]
    return [
        text
        for site in names
        for text in ([str(site)] if site.port else [str(site), f"{site}:{ports[site]}"])
    ]


def origin_patterns(guard: Guard) -> list[str]:
    """Pages of the names that the user gave, as MLflow's own check matches Origin."""
    return [
        f"{scheme}://{site}{end}"
        for site in sorted({*guard.named, *(Site(name, None) for name in guard.own)}, key=str)
        for scheme in _DEFAULT_PORTS
        for end in (("", ":*") if site.port is None else ("",))
    ]
