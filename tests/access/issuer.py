"""Issuer of tokens for tests: a local server of metadata and a key set."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

SigningKey = RSAKey | ECKey | OctKey


class Issuer:
    """Signs tokens, and serves its metadata and its key set.

    Attributes:
        keys: keys of the key set. Their first one signs.
        status: status of each answer; 0 closes the connection instead.
        requests: paths of the requests, in order.
    """

    def __init__(self) -> None:
        self.keys: list[SigningKey] = [ECKey.generate_key("P-256", {"kid": "first"})]
        self.status = 200
        self.requests: list[str] = []
        self.url = ""
        self.metadata: dict[str, Any] = {}

    def token(self, *, key: SigningKey | None = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Return a token of Ada for the audience `notes`. A claim that is None is left out."""
        key, now = key or self.keys[0], int(time.time())
        usual = {"iss": self.url, "aud": "notes", "sub": "ada", "exp": now + 60, "iat": now}
        values = {name: value for name, value in (usual | claims).items() if value is not None}
        algorithm = {"EC": "ES256", "RSA": "RS256", "oct": "HS256"}[key.key_type]
        heading = {"alg": algorithm, "kid": key.kid} | (header or {})
        return jwt.encode(heading, values, key, algorithms=[heading["alg"]])

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        self.requests.append(path)
        if path == "/keys":
            content: Any = {"keys": [key.as_dict(private=False) for key in self.keys] + [{"kty": "new"}]}
        else:
            content = self.metadata
        body = json.dumps(content).encode()
        if self.status:
            head = f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def serving_issuer() -> AsyncIterator[Issuer]:
    """Run an issuer on a free port of this machine."""
    issuer = Issuer()
    server = await asyncio.start_server(issuer.answer, "127.0.0.1", 0)
    issuer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    issuer.metadata = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys"}
    async with server:
        yield issuer
