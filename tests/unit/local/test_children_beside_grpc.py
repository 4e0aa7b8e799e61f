"""A child starts, and its parent's servers go on, while gRPC's threads are busy in the parent."""

import subprocess
import sys
from pathlib import Path

PARENT = """
import asyncio, sys, time
from pathlib import Path
import grpc
from penstock.local.processes import Child

async def answer(request, context):
    return request

async def main():
    server = grpc.aio.server()
    echo = grpc.method_handlers_generic_handler("echo", {"Say": grpc.unary_unary_rpc_method_handler(answer)})
    server.add_generic_rpc_handlers((echo,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("number", one)]) for one in range(4)]

    async def talk(channel):
        while True:
            await channel.unary_unary("/echo/Say")(b"?")

    talkers = [asyncio.create_task(talk(channel)) for channel in channels for _ in range(4)]
    codes = []
    for number in range(40):
        await asyncio.sleep(0.01)
        child = Child("child", ["true"], Path(sys.argv[1]) / "log")
        child.start()
        assert child.wait(time.monotonic() + 20)
        codes.append(child.exit_code)
    for talker in talkers:
        talker.cancel()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("number", 99)]) as fresh:
        heard = await asyncio.wait_for(fresh.unary_unary("/echo/Say")(b"still here"), 20)
    print(sorted(set(codes)), heard.decode())
    await server.stop(None)

asyncio.run(main())
"""


def test_children_start_whole_while_grpc_is_busy_and_its_server_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "[0] still here"), done.stderr[-3000:]
