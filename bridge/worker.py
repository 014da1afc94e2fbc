"""One bridge process: the session, the messages to store, and what happens once per second."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence

import redis
from loguru import logger

from bridge import broker, mapping, topic
from bridge.counts import Counts
from bridge.formats import Reader
from bridge.inbox import Inbox
from bridge.mapping import Mapping
from bridge.recorder import Recorder
from bridge.session import Session
from ingest.caps import Caps
from ingest.limits import Rules
from tributary.errors import Misconfigured, TributaryError
from tributary.model import catalogue
from tributary.operate import bridges
from tributary.settings import Settings
from tributary.store import redis_client

# Messages that are stored with one write, and acknowledged after it: as many count twice if the
# bridge is killed in between.
_BATCH_MAX = 100
STOP_S = 5.0


class Plan:
    """What to bridge, checked: all problems are reported together."""

    def __init__(self, settings: Settings) -> None:
        """Raises `Misconfigured`."""
        problems: list[str] = []
        self.mappings: list[Mapping] = []
        known = catalogue.load(settings.metrics_file)
        with _collected(problems):
            if not settings.mqtt_broker:
                raise Misconfigured("no broker; give --broker mqtt://user:password@host:1883")
            self.broker = broker.parse(settings.mqtt_broker)
        with _collected(problems):
            if settings.mqtt_mapping:
                self.mappings = mapping.load(settings.mqtt_mapping, known)
        if settings.mqtt_timezone and mapping.zone(settings.mqtt_timezone) is None:
            problems.append(f"timezone {settings.mqtt_timezone!r}: use a name as Europe/Berlin")
        share = settings.mqtt_share
        if share and set(share) & set("/+#\0"):
            problems.append(f"share {share!r}: the name of a group has no /, + or #")
        self.filters = _filters(settings, self.mappings, problems)
        if problems:
            raise Misconfigured("mqtt: " + "; ".join(problems))
        self.reader = Reader(Rules(settings), known, self.mappings, settings.mqtt_timezone)


@contextlib.contextmanager
def _collected(problems: list[str]) -> Iterator[None]:
    try:
        yield
    except Misconfigured as error:
        problems.append(str(error))


def _filters(settings: Settings, given: Sequence[Mapping], problems: list[str]) -> list[str]:
    """The filters to subscribe to: those of `--topic`, else those of the mapping file."""
    named = [each.strip() for each in settings.mqtt_topic.split(",") if each.strip()]
    wanted = named or [each.filter for each in given if each.format != "ignore"]
    if not wanted:
        problems.append("no topics; give --topic, or --mapping with a file of topics")
    problems += [
        f"topic {each!r} {wrong}" for each in wanted if (wrong := topic.problem(each)) is not None
    ]
    if problems:
        return []
    kept, pairs = topic.without_overlap(wanted)
    for one, two in pairs:
        problems.append(
            f"topics {one!r} and {two!r} overlap, and a message of both may count twice; "
            "subscribe to one filter that covers both, with --topic"
        )
    share = settings.mqtt_share
    return [f"$share/{share}/{each}" for each in kept] if share else kept


class Worker:
    """Receives, stores and acknowledges until it is stopped."""

    def __init__(self, settings: Settings, plan: Plan) -> None:
        self._settings = settings
        self._counts = Counts()
        self._caps = Caps(settings)
        self._inbox = Inbox(settings.mqtt_in_flight_max, settings.in_flight_max_bytes)
        self._recorder = Recorder(settings, plan.reader, self._caps, self._counts)
        self._client: redis.Redis | None = None
        self._session = Session(settings, plan.broker, plan.filters, self._inbox, self._counts)

    async def run(self, stop: asyncio.Event) -> None:
        """Bridge until `stop` is set; what is not stored then stays with the broker.

        Raises:
            Exception: a bug in Tributary; the process should exit and be restarted.
        """
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()
        self._inbox.on_arrival = lambda: _ignoring_closed(loop, arrived.set)
        await self._recorder.links.open()
        work = asyncio.create_task(self._work(arrived, stop))
        tasks = [
            work,
            asyncio.create_task(self._recorder.links.keep()),
            asyncio.create_task(self._every_second()),
            asyncio.create_task(stop.wait()),
        ]
        self._session.start()
        log = logger.bind(action="bridge_started", client_id=bridges.client_id(self._settings))
        log.info("bridge started")
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._inbox.close()
            arrived.set()
            await asyncio.wait({work}, timeout=STOP_S)
            await asyncio.to_thread(self._session.stop)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with contextlib.suppress(TributaryError):
                await asyncio.to_thread(self._report, is_last=True)
            logger.bind(action="bridge_stopped").info("bridge stopped")

    async def _work(self, arrived: asyncio.Event, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await arrived.wait()
            arrived.clear()
            while messages := self._inbox.take(_BATCH_MAX):
                await self._recorder.record(messages)
                self._session.acknowledge(self._inbox.finish(messages))

    async def _every_second(self) -> None:
        while True:
            self._session.watch()
            with contextlib.suppress(TributaryError):  # the links log an outage
                await asyncio.to_thread(self._report)
            await asyncio.sleep(1)

    def _report(self, *, is_last: bool = False) -> None:
        if self._client is None:
            self._client = redis_client.connect(self._settings)
        self._counts.flush(self._client)
        if is_last:
            self._client.close()
            return
        self._caps.refresh(self._client)
        if self._session.is_subscribed and self._recorder.links.are_open:
            bridges.heartbeat(self._client, self._settings)


def _ignoring_closed(loop: asyncio.AbstractEventLoop, callback: object) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(callback)  # type: ignore[arg-type]
