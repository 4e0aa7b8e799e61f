"""TLS of flagd sync, from the settings' files."""

import grpc

from penstock.errors import Problem, SettingsError
from penstock.settings import Settings


def server_credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """Return TLS, or mTLS where a client CA is named; None for plain text.

    Raises:
        SettingsError: half of what is needed is set, or a file cannot be read.
    """
    cert, key, client_ca = settings.sync_cert_file, settings.sync_key_file, settings.sync_client_ca_file
    if cert is None and key is None and client_ca is None:
        return None
    if cert is None or key is None:
        raise SettingsError(
            "settings", [Problem("PENSTOCK_SYNC_CERT_FILE", "needs PENSTOCK_SYNC_KEY_FILE with it, and the other way")]
        )
    try:
        pair = (key.read_bytes(), cert.read_bytes())
        ca = client_ca.read_bytes() if client_ca is not None else None
    except OSError as error:
        raise SettingsError("settings", [Problem("PENSTOCK_SYNC_CERT_FILE", str(error))]) from None
    return grpc.ssl_server_credentials([pair], ca, require_client_auth=ca is not None)
