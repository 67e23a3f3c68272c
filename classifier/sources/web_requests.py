"""Send requests to web addresses: redirects within limits, passwords from ~/.netrc."""

import base64
import http.client
import netrc
import urllib.parse
import urllib.request
from http.client import HTTPMessage
from typing import IO, Any

from classifier.core.addresses import is_web_address, shown_address
from classifier.core.errors import UserError


def open_address(request: urllib.request.Request, timeout: float) -> http.client.HTTPResponse:
    """Send a request, with the name and password that ~/.netrc has for its host.

    Redirects are followed to other addresses of HTTP and HTTPS, but not from HTTPS to HTTP. The
    password stays with the first host.

    Raises:
        UserError: It redirects elsewhere, or ~/.netrc cannot be read.
        OSError, http.client.HTTPException, ValueError: As `urllib.request.urlopen`.
    """
    if login := _login(request.host):
        request.add_unredirected_header("Authorization", login)
    return urllib.request.build_opener(_Redirects).open(request, timeout=timeout)


class _Redirects(urllib.request.HTTPRedirectHandler):
    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage
    ) -> Any:
        target = urllib.parse.urljoin(req.full_url, headers.get("Location", ""))
        is_less_safe = req.type == "https" and not target.lower().startswith("https:")
        if is_less_safe or not is_web_address(target):
            raise UserError(
                f"{shown_address(req.full_url)} redirects to {shown_address(target)}, which is "
                "less safe than what was asked for: correct the address."
            )
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _login(host: str) -> str | None:
    """Return the header for a host that ~/.netrc has a password for."""
    try:
        found = netrc.netrc().authenticators(host.partition(":")[0])
    except FileNotFoundError:
        return None
    except (netrc.NetrcParseError, OSError, UnicodeDecodeError) as error:
        raise UserError(f"~/.netrc cannot be read ({error}): correct it.") from None
    if found is None:
        return None
    name, _, password = found
    secret = base64.b64encode(f"{name}:{password or ''}".encode()).decode("ascii")
    return f"Basic {secret}"
