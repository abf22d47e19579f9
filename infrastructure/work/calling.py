"""Calls of addresses that users name, so that nobody reaches through us what only we can reach.

A name is resolved once, all that it stands for is checked, and what was checked is what is called: a name that answers
differently the next time gains nothing. No redirects, no proxies, and no connection is used twice.
"""

from __future__ import annotations

import asyncio
import re
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

import httpx

from ...domain.kept_ports import CallFailure

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

URL_CHARACTERS_MAX = 2048

_TRANSLATED = IPv6Network("64:ff9b::/96")
"""Addresses that a gateway translates to IPv4; the last 32 bits are those."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,253}")

GONE = 410
"""The receiver says that it will never want this."""


class HttpCaller:
    """Posts over HTTP and HTTPS. With `allows_private`, also to addresses that are not public."""

    def __init__(self, *, allows_private: bool = False) -> None:
        self._allows_private = allows_private
        self._tls: ssl.SSLContext | None = None

    def refusal(self, url: str) -> str | None:
        """Return why this URL may not be called, as far as it says itself."""
        try:
            parsed = httpx.URL(url) if len(url) <= URL_CHARACTERS_MAX else httpx.URL()
            port = parsed.port or 1
        except (httpx.InvalidURL, ValueError):
            return "expected a URL"
        if parsed.scheme not in ("http", "https") or not 1 <= port <= 65_535:
            return "expected an http or https URL"
        if parsed.userinfo:
            return "expected a URL without user and password"
        host = parsed.host.rstrip(".").lower()
        if not self._allows_private and (host == "localhost" or host.endswith(".localhost")):
            return _not_allowed(host)
        try:
            address = ip_address(host)
        except ValueError:
            if not _NAME.fullmatch(parsed.raw_host.decode("ascii")):
                return "expected an http or https URL"
            return None  # A name: what it stands for is looked at when it is called.
        return None if self._is_allowed(address) else _not_allowed(host)

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_seconds: float
    ) -> CallFailure | None:
        """Post; whatever the receiver does, this is over after the time that it may take."""
        problem = self.refusal(url)
        if problem is not None:
            return CallFailure(problem, is_final=True)
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._post(httpx.URL(url), body, headers, timeout_seconds)
        except (TimeoutError, httpx.TimeoutException):
            return CallFailure(f"no answer within {timeout_seconds:g} s")
        except (OSError, httpx.HTTPError) as error:
            return CallFailure(f"{type(error).__name__}: {error}")

    async def _post(
        self, url: httpx.URL, body: bytes, headers: Mapping[str, str], timeout_seconds: float
    ) -> CallFailure | None:
        addresses = await _resolved(url)
        for address in addresses:
            if not self._is_allowed(ip_address(address)):
                return CallFailure(_not_allowed(f"{url.host} ({address})"), is_final=True)
        status = await self._sent(url, addresses, body, headers, timeout_seconds)
        if 200 <= status < 300:
            return None
        return CallFailure(f"answered {status}", is_final=status == GONE)

    async def _sent(
        self,
        url: httpx.URL,
        addresses: list[str],
        body: bytes,
        headers: Mapping[str, str],
        timeout_seconds: float,
    ) -> int:
        """Return the status that the first address gives that takes a connection."""
        named = {**headers, "Host": url.netloc.decode("ascii")}
        # The name is still what the certificate has to be for.
        extensions = {"sni_hostname": url.raw_host.decode("ascii")}
        async with httpx.AsyncClient(
            verify=await self._context(),
            trust_env=False,
            follow_redirects=False,
            # It should be the first to give up: who is cancelled in a handshake leaves its socket to the garbage collector.
            timeout=timeout_seconds * 0.9,
        ) as client:
            for address in addresses:
                pinned = url.copy_with(host=address)
                request = client.build_request(
                    "POST", pinned, content=body, headers=named, extensions=extensions
                )
                try:
                    response = await client.send(request, stream=True)
                except httpx.ConnectError:
                    if address == addresses[-1]:
                        raise
                    continue
                await response.aclose()  # What it says beside its status is of no interest.
                return response.status_code
        raise httpx.ConnectError(f"{url.host} has no address")

    async def _context(self) -> ssl.SSLContext:
        if self._tls is None:  # It takes long to make.
            self._tls = await asyncio.to_thread(httpx.create_ssl_context, trust_env=False)
        return self._tls

    def _is_allowed(self, address: IPv4Address | IPv6Address) -> bool:
        return self._allows_private or is_public(address)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Say whether an address, and the one that may be wrapped in it, is one of the public network's."""
    if isinstance(address, IPv6Address):
        wrapped = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _TRANSLATED:
            wrapped.append(IPv4Address(int(address) & 0xFFFFFFFF))
        if not all(is_public(inner) for inner in wrapped if inner is not None):
            return False
        if address.ipv4_mapped is not None:
            return True
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _not_allowed(what: str) -> str:
    return f"{what} is not a public address (webhook_allows_private)"


async def _resolved(url: httpx.URL) -> list[str]:
    port = url.port or (443 if url.scheme == "https" else 80)
    found = await asyncio.get_running_loop().getaddrinfo(
        url.raw_host.decode("ascii"), port, type=socket.SOCK_STREAM
    )
    # An IPv6 address may carry the name of an interface.
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
