"""A certificate that nobody vouches for, for a server of a test that speaks TLS; `ssl=False` accepts it."""

import ssl
from pathlib import Path

_KEY_AND_CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgppwTzcuedLBVF4/X
VRMriA8Gl9WGYnyNaNvxk7FhFjmhRANCAAQjBc1f6veN5Wi+rbcTUAiuSmpRbzjC
Ke2Ex5YQ499owH4RdTOiRPAH3QO45LupB6Dov1OMIsTUZhbVSbri4Uc0
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBfzCCASWgAwIBAgIUJcJFKw46B7I5Wr+iBtQ9a2LW7BcwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNjAzMzMwMloYDzIxMjYxMTAy
MDMzMzAyWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQjBc1f6veN5Wi+rbcTUAiuSmpRbzjCKe2Ex5YQ499owH4RdTOiRPAH
3QO45LupB6Dov1OMIsTUZhbVSbri4Uc0o1MwUTAdBgNVHQ4EFgQUjGB6sRcgpyGS
M+5vPgl8mVLWdfcwHwYDVR0jBBgwFoAUjGB6sRcgpyGSM+5vPgl8mVLWdfcwDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiAcr+c9xQoHZj/1ok/xDtjq
EcD07g3RI5VH3YIODc6QSAIhAPagzha3c8cbvjOb5YWOaV3CpRVQGUqpnDlwB4mu
cspb
-----END CERTIFICATE-----
"""


def server_context(folder: Path) -> ssl.SSLContext:
    """Return what a server needs to speak TLS; OpenSSL takes a certificate from a file only."""
    file = folder / "server.pem"
    file.write_text(_KEY_AND_CERTIFICATE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
