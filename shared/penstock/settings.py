"""Every setting in one frozen value, read once from a mapping; docs/settings.md is held against it by a test."""

import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from penstock.errors import Problem, SettingsError
from penstock.wording.problems import problems_of

PREFIX = "PENSTOCK_"


def host_name(name: str) -> str:
    """Return the host's name as it can name a folder and a member of a consumer group."""
    return re.sub(r"[^a-zA-Z0-9._-]", "-", name).lstrip("._-")[:200] or "local"


def _web_address(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError("must start with http:// or https://")
    return text


WebAddress = Annotated[str, AfterValidator(_web_address)]


class Settings(BaseModel):
    """Settings of services and command line; the variable is the field name in capitals after `PENSTOCK_`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kafka: str = Field("127.0.0.1:9092", description="Kafka bootstrap servers, host:port, comma-separated.")
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Security protocol of the Kafka listeners."
    )
    kafka_username: str | None = Field(None, description="SASL/SCRAM-SHA-512 user of this service.")
    kafka_password_file: Path | None = Field(None, description="File that holds the SASL password.")
    kafka_ca_file: Path | None = Field(None, description="CA certificates for Kafka over TLS.")
    kafka_cert_file: Path | None = Field(None, description="Client certificate for mTLS to Kafka.")
    kafka_key_file: Path | None = Field(None, description="Key of the client certificate.")
    topic_prefix: str = Field("", pattern=r"^[a-zA-Z0-9._-]*$", description="Put before every topic name.")
    replication: int = Field(
        1, ge=1, le=9, description="Replication factor of created topics; from 3 on, min.insync.replicas is 2."
    )
    redis: str | None = Field(None, description="redis:// or rediss:// or unix:// URL of the view; none without it.")
    state: Path = Field(Path(".penstock"), description="Folder of local state: spools, generated tokens, local stack.")
    instance: str = Field(
        default_factory=lambda: host_name(socket.gethostname()),
        pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,199}$",
        description="Name of this copy of a service, its own and the same after a restart; the host's name without it.",
    )
    host: str = Field("127.0.0.1", description="Address that the HTTP and gRPC servers listen on.")
    console_port: int = Field(8400, ge=0, le=65535, description="HTTP API and dashboard.")
    otlp_port: int = Field(4318, ge=0, le=65535, description="OTLP/HTTP metrics intake.")
    ofrep_port: int = Field(
        8016, ge=0, le=65535, description="OFREP flag evaluation and flag control's write endpoint."
    )
    sync_port: int = Field(8015, ge=0, le=65535, description="flagd sync gRPC.")
    health_port: int = Field(
        0, ge=0, le=65535, description="Liveness and readiness of a process without another HTTP port; 0 for none."
    )
    tokens: Path | None = Field(None, description="Tokens file: maps bearer tokens to identity and roles.")
    read: Literal["open", "role"] | None = Field(
        None,
        description="Who may read at the console: all (open), or a role; by default a role where HOST is not loopback.",
    )
    hosts: str = Field(
        "", description="Further names that the console answers to, comma-separated; others are refused (421)."
    )
    record_keys_file: Path | None = Field(
        None, description="Keys that seal records on Kafka; set at every service, unsealed records no longer count."
    )
    session_key_file: Path | None = Field(
        None, description="Key of dashboard sessions, shared by several consoles; one is made in the state folder."
    )
    subscribers: Path | None = Field(None, description="Subscribers file of notification: name, URL, types, secret.")
    allow_private_webhooks: bool = Field(
        False, description="Let webhooks go to private and loopback addresses; for local use only."
    )
    ofrep_auth: bool = Field(False, description="Require a bearer token or API key for flag evaluation.")
    ofrep_origins: str = Field(
        "", description="Origins of web pages that may evaluate flags, comma-separated; * for every page."
    )
    bucketing: str = Field(
        "v3",
        pattern=r"^\s*([^=,]+=)?\s*v[23]\s*(,\s*([^=,]+=)?\s*v[23]\s*)*$",
        description="How percentages hash: v3 like Python, v2 like Node, Java, Go; by set: `v3, production/shop=v2`.",
    )
    peers: str = Field("", description="Write endpoints of the other flag controls, comma-separated URLs.")
    sync_cert_file: Path | None = Field(None, description="Server certificate of flagd sync; TLS with sync_key_file.")
    sync_key_file: Path | None = Field(None, description="Server key of flagd sync.")
    sync_client_ca_file: Path | None = Field(
        None, description="CA of client certificates; set, flagd sync takes mTLS only."
    )
    lateness: float = Field(2.0, ge=0, le=600, description="Seconds that a window stays open for late points.")
    snapshot_every: int = Field(500, ge=10, description="Records of a partition between two snapshots.")
    dead_letter_limit: int = Field(
        100,
        ge=0,
        description="Failures of a version, less its successes, at which it stops and skips no more input; 0: never.",
    )
    otlp_endpoint: str | None = Field(None, description="OTLP/HTTP endpoint for our own telemetry; off without it.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Log level.")
    server: WebAddress = Field("http://127.0.0.1:8400", description="Console address that the command line talks to.")
    flags_server: WebAddress = Field(
        "http://127.0.0.1:8016",
        description="Flag control address that `penstock flags` and the dashboard's kill switch talk to.",
    )
    token: str | None = Field(None, repr=False, description="Bearer token of the command line.")

    @property
    def url(self) -> str:
        """Address of the console for links in messages."""
        return self.server.rstrip("/")


def variable_of(field: str) -> str:
    """Return the environment variable of a field."""
    return PREFIX + field.upper()


def load_settings(environment: Mapping[str, str]) -> Settings:
    """Return the settings that the variables `PENSTOCK_*` give.

    Raises:
        SettingsError: unknown variables and values that do not fit, all of them.
    """
    known = {variable_of(field): field for field in Settings.model_fields}
    given = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    problems = [
        Problem(name, "is no setting: see docs/settings.md for those there are")
        for name in sorted(set(given) - set(known))
    ]
    values = {known[name]: value for name, value in given.items() if name in known and value != ""}
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problems += [
            Problem(variable_of(problem.where.split(".")[0]) if problem.where else "", problem.what)
            for problem in problems_of(error)
        ]
        raise SettingsError("settings", problems) from None
    if problems:
        raise SettingsError("settings", problems)
    return settings
