"""A NATS client on strings: reads orders as JSON lines, answers and tells what it hears as JSON lines.

It is nats-py, as an agent would use it, and knows nothing of the contract: subjects and bodies come from the
story. Orders: {"id", "do": "request", "subject", "body", "headers"?}, {"id", "do": "subscribe", "subject"},
{"id", "do": "replay", "stream", "subject"} (what JetStream has kept).
"""

import asyncio
import json
import sys

import nats

TIMEOUT_S = 60


def say(**line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def decoded(message):
    return {
        "subject": message.subject,
        "headers": message.headers or {},
        "body": json.loads(message.data) if message.data else None,
    }


async def hear(message):
    say(heard=decoded(message))


async def request(client, order):
    body = order.get("body")
    reply = await client.request(
        order["subject"],
        b"" if body is None else json.dumps(body).encode(),
        timeout=TIMEOUT_S,
        headers=order.get("headers"),
    )
    return decoded(reply)


async def subscribe(client, order):
    await client.subscribe(order["subject"], cb=hear)
    await client.flush()


async def replay(client, order):
    stream = client.jetstream()
    subscription = await stream.subscribe(order["subject"], stream=order["stream"], ordered_consumer=True)
    info = await subscription.consumer_info()
    kept = [decoded(await subscription.next_msg(timeout=TIMEOUT_S)) for _ in range(info.num_pending + info.delivered.consumer_seq)]
    await subscription.unsubscribe()
    return kept


DEEDS = {"request": request, "subscribe": subscribe, "replay": replay}


async def obey(client, order):
    try:
        say(id=order["id"], done=await DEEDS[order["do"]](client, order))
    except Exception as error:  # whatever it is, the story is told and decides
        say(id=order["id"], failed=f"{type(error).__name__}: {error}")


async def main():
    with open(sys.argv[1]) as file:
        bus = json.load(file)
    options = {name: bus[name] for name in ("token", "user", "password") if bus.get(name)}
    client = await nats.connect(bus["url"], max_reconnect_attempts=-1, reconnect_time_wait=0.1, **options)
    say(connected=client.connected_url.netloc.rpartition("@")[2])
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    orders = set()
    while line := await reader.readline():
        order = asyncio.create_task(obey(client, json.loads(line)))
        orders.add(order)
        order.add_done_callback(orders.discard)
    await client.close()


asyncio.run(main())
