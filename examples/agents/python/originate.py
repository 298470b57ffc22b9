"""Calls two people, joins them, and tells what happens until the call is over.

    python originate.py 1001@example.test 1002@example.test

Needs nats-py (pip install nats-py) and a running adapter; state/bus.json says where its bus is.
Ctrl-C hangs up.
"""

import asyncio
import json
import os
import signal
import sys
import uuid

import nats

BUS = os.environ.get("IFBUS_BUS", "state/bus.json")
AGENT = "example"
PREFIX = "ifbus.sip.v1.default"


async def command(bus, subject, data):
    """One command, one reply, at once. The id makes it safe to send again: it is done once."""
    body = json.dumps({"id": str(uuid.uuid4()), "data": data}).encode()
    reply = json.loads((await bus.request(f"{PREFIX}.cmd.{subject}", body, timeout=5)).data)
    if reply["status"] != "accepted":
        sys.exit(f"refused: {reply['reason']} ({reply['code']})")
    return reply["data"]


async def main(caller, callee):
    with open(BUS) as file:
        where = json.load(file)
    bus = await nats.connect(where["url"], token=where["token"])

    # Listen first: the first events come with the reply.
    events = await bus.subscribe(f"{PREFIX}.evt.call.>")
    call = (await command(bus, f"agent.{AGENT}.originate", {"from": caller, "to": callee}))["call"]
    print(f"call {call}", flush=True)

    def hang_up():
        asyncio.ensure_future(command(bus, f"call.{call}.{AGENT}.hangup", {}))

    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, hang_up)

    async for message in events.messages:
        event = json.loads(message.data)
        if event["call"] != call:
            continue
        state, cause = event["data"]["call"]["state"], event["data"]["cause"]
        name = event["type"].removeprefix("ifbus.sip.").removesuffix(".v1")
        print(f"{event['offsetms'] / 1000:7.3f} s  {name}: {state} ({cause['actor']}: {cause['reason']})", flush=True)
        if name == "call.ended":
            break
    await bus.close()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    asyncio.run(main(*sys.argv[1:]))
