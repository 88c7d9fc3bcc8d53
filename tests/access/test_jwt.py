"""Tokens of an issuer: which are accepted, and what happens while the issuer is away."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey
from starlette.requests import Request

from autocrud.access import JWTAuthenticator, Principal
from autocrud.access.verified_tokens import VerifiedTokens
from autocrud.errors import ConfigurationError, IssuerUnavailable, Unauthenticated
from tests.access.issuer import Issuer, serving_issuer
from tests.access.test_authentication import application
from tests.http.conftest import serving


class Clock:
    """Clock that a test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    """Yield an issuer."""
    async with serving_issuer() as found:
        yield found


def accepting(issuer: Issuer, **options: Any) -> JWTAuthenticator:
    """Return an authenticator of the issuer's tokens."""
    return JWTAuthenticator(issuer.url, "notes", **options)


async def ask(authenticator: JWTAuthenticator, token: str) -> Principal | None:
    """Return the principal of a request with a token."""
    headers = [(b"authorization", f"Bearer {token}".encode())]
    return await authenticator(Request({"type": "http", "headers": headers}))


async def test_token_names_the_principal(issuer: Issuer) -> None:
    """By `sub`, with roles and tenant of nested claims. The keys are fetched once."""
    authenticator = accepting(issuer, roles_claim="realm_access.roles", tenant_claim="https://example.com/org")
    claims: Any = {"realm_access": {"roles": ["editor", "admin"]}, "https://example.com/org": "acme"}
    for _ in range(2):
        principal = await ask(authenticator, issuer.token(**claims))
        assert principal is not None
        assert (principal.id, principal.roles, principal.tenant) == ("ada", {"editor", "admin"}, "acme")
        assert (principal.claims["aud"], principal.scopes) == ("notes", None)
    assert issuer.requests == ["/.well-known/openid-configuration", "/keys"]
    plain = accepting(issuer, jwks_url=f"{issuer.url}/keys", roles_claim="scope")
    principal = await ask(plain, issuer.token(scope="read write"))
    assert principal is not None
    assert principal.roles == {"read", "write"}


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example.com"},
        {"aud": "other"},
        {"aud": None},
        {"exp": None},
        {"exp": int(time.time()) - 31},
        {"exp": "tomorrow"},
        {"nbf": int(time.time()) + 3600},
        {"sub": None},
        {"sub": "a\x00"},
        {"roles": {"editor": True}},
        {"roles": ["a\n"]},
    ],
    ids=[
        "other issuer", "other audience", "no audience", "no end", "expired", "end is no time", "not yet valid",
        "no name", "name with NUL", "roles are no list", "role with line break",
    ],
)  # fmt: skip
async def test_token_with_wrong_claims_is_refused(issuer: Issuer, claims: dict[str, Any]) -> None:
    """The error says no part of the token."""
    token = issuer.token(**claims)
    with pytest.raises(Unauthenticated) as caught:
        await ask(accepting(issuer), token)
    assert not [part for part in token.split(".") if part in str(caught.value)]


async def test_leeway_accepts_a_token_for_some_seconds_more(issuer: Issuer) -> None:
    """Ten seconds after its end, and ten seconds before its begin."""
    now = int(time.time())
    for claims in ({"exp": now - 10}, {"nbf": now + 10}):
        values: Any = claims
        assert await ask(accepting(issuer), issuer.token(**values)) is not None
        with pytest.raises(Unauthenticated):
            await ask(accepting(issuer, leeway=0), issuer.token(**values))


async def test_token_with_a_wrong_signature_or_algorithm_is_refused(issuer: Issuer) -> None:
    """Another key of the same id, a shared secret, an algorithm that is not configured, and no signature."""
    authenticator = accepting(issuer)
    rsa = RSAKey.generate_key(2048, {"kid": "rsa"})
    issuer.keys.append(rsa)
    # A server that took the algorithm from the header would verify this by its own public key.
    public_as_secret = OctKey.import_key(rsa.as_pem(private=False).replace(b"-----", b""), {"kid": "rsa"})
    head, body, _ = issuer.token().split(".")
    tokens = [
        issuer.token(key=ECKey.generate_key("P-256", {"kid": "first"})),
        issuer.token(key=public_as_secret),
        issuer.token(key=rsa, header={"alg": "RS512"}),
        issuer.token(key=rsa, header={"kid": "first"}),
        f"{head}.{body}.",
        "eyJhbGciOiJub25lIn0." + body + ".",
        "a.b.c",
    ]
    for token in tokens:
        with pytest.raises(Unauthenticated):
            await ask(authenticator, token)
    assert await ask(authenticator, issuer.token(key=rsa)) is not None


async def test_unknown_key_id_fetches_the_keys_at_most_every_ten_seconds(issuer: Issuer) -> None:
    """A new key is found. Tokens with invented key ids do not make the issuer busy."""
    clock = Clock()
    authenticator = accepting(issuer, clock=clock, jwks_url=f"{issuer.url}/keys")
    assert await ask(authenticator, issuer.token()) is not None
    old_token = issuer.token()
    assert await ask(authenticator, old_token) is not None
    issuer.keys.insert(0, ECKey.generate_key("P-256", {"kid": "second"}))
    for _ in range(3):
        with pytest.raises(Unauthenticated, match="key is unknown"):
            await ask(authenticator, issuer.token())
    assert len(issuer.requests) == 1
    clock.now += 11
    assert await ask(authenticator, issuer.token()) is not None
    assert await ask(authenticator, old_token) is not None
    assert len(issuer.requests) == 2


async def test_withdrawn_key_is_forgotten_after_ten_minutes(issuer: Issuer) -> None:
    """Tokens that were verified before are verified again. The request that notices the age does not wait."""
    clock = Clock()
    authenticator = accepting(issuer, clock=clock, jwks_url=f"{issuer.url}/keys")
    token = issuer.token()
    assert await ask(authenticator, token) is not None
    issuer.keys = [ECKey.generate_key("P-256", {"kid": "second"})]
    clock.now += 601
    assert await ask(authenticator, token) is not None
    await ask(authenticator, issuer.token())  # waits for the fetch that is under way
    with pytest.raises(Unauthenticated, match="key is unknown"):
        await ask(authenticator, token)


async def test_issuer_that_is_away_leaves_the_cached_keys_valid(
    issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    """New tokens are accepted, too. The log says that the issuer is away."""
    clock = Clock()
    authenticator = accepting(issuer, clock=clock)
    assert await ask(authenticator, issuer.token()) is not None
    issuer.status = 0
    clock.now += 3600
    assert await ask(authenticator, issuer.token(sub="bob")) is not None
    with pytest.raises(Unauthenticated):
        await ask(authenticator, issuer.token(key=ECKey.generate_key("P-256", {"kid": "second"})))
    assert "the cached keys stay valid" in caplog.text


@pytest.mark.parametrize("fault", ["status", "connection", "issuer", "keys"])
async def test_issuer_without_keys_answers_503(issuer: Issuer, fault: str, caplog: pytest.LogCaptureFixture) -> None:
    """With `Retry-After`, until the issuer answers."""
    right_metadata, clock = dict(issuer.metadata), Clock()
    issuer.status = {"status": 500, "connection": 0}.get(fault, 200)
    wrong: dict[str, dict[str, Any]] = {"issuer": {"issuer": "https://evil.example.com"}, "keys": {"jwks_uri": None}}
    issuer.metadata |= wrong.get(fault, {})
    authenticator, bearer = accepting(issuer, clock=clock), {"authorization": f"Bearer {issuer.token()}"}
    async with serving(application(authenticator)) as http:
        for _ in range(2):  # the second request does not ask the issuer again
            response = await http.get("/photo", headers=bearer)
            assert (response.status_code, response.json()["code"]) == (503, "issuer_unavailable")
            assert response.headers["retry-after"]
        assert len(issuer.requests) == 1
        issuer.status, issuer.metadata = 200, right_metadata
        clock.now += 2
        assert (await http.get("/photo", headers=bearer)).status_code == 200
    assert "no token can be verified" in caplog.text
    assert bearer["authorization"][7:] not in caplog.text


async def test_authenticator_without_keys_refuses(issuer: Issuer) -> None:
    """The error names the issuer, for the log."""
    issuer.status = 500
    with pytest.raises(IssuerUnavailable, match=r"127\.0\.0\.1"):
        await ask(accepting(issuer), issuer.token())


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"issuer": "id.example.com"}, "issuer"),
        ({"issuer": "https://ada:secret@id.example.com"}, "issuer"),
        ({"jwks_url": "file:///etc/passwd"}, "jwks_url"),
        ({"audience": []}, "audience"),
        ({"algorithms": ["HS256"]}, "algorithms"),
        ({"algorithms": ["none"]}, "algorithms"),
        ({"algorithms": []}, "algorithms"),
    ],
)
def test_wrong_argument_is_named(arguments: dict[str, Any], name: str) -> None:
    """Without the password of a URL."""
    with pytest.raises(ConfigurationError) as caught:
        JWTAuthenticator(**({"issuer": "https://id.example.com", "audience": "notes"} | arguments))
    assert caught.value.argument == name
    assert "secret" not in str(caught.value)


def test_verified_tokens_are_bounded_and_expire() -> None:
    """The token that was not used for the longest time is forgotten. Another key set forgets all."""
    tokens, ada = VerifiedTokens(size=2), Principal("ada")
    for name in ("a", "b"):
        tokens.add(name, ada, 10, 1)
    assert tokens.find("a", 5, 1) is ada
    tokens.add("c", ada, 20, 1)
    assert [tokens.find(name, 5, 1) for name in "abc"] == [ada, None, ada]
    assert tokens.find("a", 10, 1) is None
    assert len(tokens) == 1
    assert tokens.find("c", 5, 2) is None
