"""A broker that lets nobody do anything without a rule: SCRAM users on one listener, a super user on the other."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest

from penstock.acls import Acl
from penstock.local.kafka.broker import LocalKafka, Program

PASSWORD = "of-a-test"
_OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8}
_RESOURCES = {"topic": 2, "group": 3}
_LITERAL, _ALLOW = 3, 3
_PROTOCOLS = "listener.security.protocol.map"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


@dataclass(frozen=True)
class _WithUsers(Program):
    users: tuple[str, ...] = ()

    def command(self, main: str, scratch: Path, *arguments: str, options: Sequence[str] = ()) -> list[str]:
        """Return the command, which creates the users where it formats the folder."""
        if main.endswith("StorageTool"):
            for user in self.users:
                arguments += ("--add-scram", f"SCRAM-SHA-512=[name={user},iterations=4096,password={PASSWORD}]")
        return super().command(main, scratch, *arguments, options=options)


class SecuredKafka(LocalKafka):
    """The address of `bootstrap` is the super user's; `secured` is everybody else's."""

    def __init__(self, program: Program, folder: Path, users: Iterable[str]) -> None:
        super().__init__(_WithUsers(program.java, program.jars, program.aot, tuple(users)), folder)

    @property
    def secured(self) -> str:
        """Address of the listener that asks for SCRAM-SHA-512."""
        return f"127.0.0.1:{self.proxy_target}"

    def _write_properties(self, name: str, data: Path) -> Path:
        path = super()._write_properties(name, data)
        lines = [line for line in path.read_text().splitlines() if not line.startswith(_PROTOCOLS)]
        lines += [
            f"{_PROTOCOLS}=CLIENT:PLAINTEXT,PROXY:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
            "sasl.enabled.mechanisms=SCRAM-SHA-512",
            f"listener.name.proxy.scram-sha-512.sasl.jaas.config={_SCRAM}",
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users=User:ANONYMOUS",
            "allow.everyone.if.no.acl.found=false",
        ]
        path.write_text("\n".join(lines) + "\n")
        return path


async def allow(bootstrap: str, rules: Iterable[Acl]) -> None:
    """Have the brokers obey these rules."""
    creations = [
        (_RESOURCES[rule.resource], rule.name, _LITERAL, rule.principal, "*", _OPERATIONS[rule.operation], _ALLOW)
        for rule in rules
    ]
    request: Any = CreateAclsRequest(0, "", 0, "", "", 0, 0)
    request.build = lambda version: version(creations)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin._client.force_metadata_update()
        answer = await admin._send_to_controller(request)
    finally:
        await admin.close()
    refused = [one for one in answer.creations if one[0]] if hasattr(answer, "creations") else []
    assert not refused, refused
