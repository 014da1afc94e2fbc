"""Jobs while the master behind sentinels changes: each that was accepted must have its effect.

Readings are recorded, values cross the limits of alerts, and the asker asks for jobs of a ledger,
exports and devices to be forgotten, each until it is accepted. Two processes of jobs run them, and
archive and send alerts. In the end everything is compared with what was accepted.
"""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from support.hook_receiver import SECRET, Receiver
from support.pipeline import serving
from support.waiting import wait_until

from faults.alert_sender import RULES, AlertSender, Step
from faults.events import Options, pause
from faults.failover_load import PARTITIONS, STYLE, TIMEOUT_S, Load
from faults.job_asker import Asker
from faults.job_ledger import JobLedger, Kind, until
from faults.master_events import SentinelSite
from jobs.alerts import message
from tributary.model import alert
from tributary.store import keys

_WORKERS = 2
_STYLE = STYLE._replace(pause_s=0.05)  # jobs run at niceness 10


class Outcome(NamedTuple):
    """The result of a run."""

    events: int
    notes: Kind
    exports: Kind
    forgotten: Kind
    archived: Kind  # readings
    alerts: Kind  # transitions
    refused: int  # attempts that were not accepted, and made again
    failed: list[str]  # jobs that gave up
    lost_readings: int
    duplicated_readings: int

    @property
    def kinds(self) -> dict[str, Kind]:
        """By name."""
        return {
            "ledger": self.notes, "exports": self.exports, "forget": self.forgotten,
            "archive (readings)": self.archived, "alerts": self.alerts,
        }  # fmt: skip


class JobSite:
    """Sentinels with all roles, the load, and what asks for jobs."""

    def __init__(self, folder: Path, options: Options) -> None:
        self._options, self._folder = options, folder
        self._random = random.Random(options.seed)
        self._stack = contextlib.ExitStack()
        self._logged: dict[tuple[int, int], alert.Transition] = {}
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(self._stack.close)
            self._start()
            cleanup.pop_all()

    def close(self) -> None:
        """Stop everything."""
        self._stack.close()

    def _start(self) -> None:
        options, folder = self._options, self._folder
        site = SentinelSite(folder / "servers", options, self._random)
        self._site = site
        self._stack.callback(site.close)
        self._receiver = Receiver()
        self._stack.callback(self._receiver.close)
        rules = folder / "rules.toml"
        rules.write_text(RULES)
        self._load = Load(
            folder, site.url, options.level, options.seed, style=_STYLE, data_dir=str(folder / "data"),
            metrics_file=str(rules), alert_webhooks=self._receiver.url,
            alert_webhook_secret=SECRET, alert_webhook_allow="127.0.0.1",
        )  # fmt: skip
        self._stack.callback(self._load.close)
        self._settings = self._load.settings
        self._jobs = JobLedger(folder / "jobs", self._settings)
        for _ in range(_WORKERS):
            self._load.run("jobs", **self._jobs.environ)
        # A new destination gets what happens from its first start on.
        wait_until(self._has_position, "the first start of what sends alerts", TIMEOUT_S)
        self._alert_sender = AlertSender(self._load.url, 1, options.seed)
        api = serving(self._load.run("api", "--port", "0"))
        self._asker = Asker(
            self._settings, self._load.url, api, lambda: self._load.ledger.acknowledged
        )
        for thread in (self._alert_sender, self._asker):
            self._stack.callback(thread.finishing.set)
            thread.start()
        wait_until(self._jobs.ran, "the first job", TIMEOUT_S)

    def run(self) -> None:
        """Let the event happen as often as the options say."""
        for _ in range(self._options.rounds):
            pause(self._options.load_s * (0.5 + self._random.random() / 2))
            self._site.strike(self._options.event, lambda: pause(self._options.load_s))
            self._read_log()

    def outcome(self) -> Outcome:
        """Stop asking, wait for the jobs, and compare."""
        for thread in (self._alert_sender, self._asker):
            thread.finishing.set()
            thread.join(TIMEOUT_S)
            assert not thread.is_alive(), f"never accepted: {self._asker.last_refusal}"
        verdict = self._load.finish()
        jobs, asker = self._jobs, self._asker
        return Outcome(
            self._options.rounds, jobs.notes(asker), jobs.export_files(asker), jobs.forgets(asker),
            self._archived(), self._alerts(), asker.refused, jobs.failed(), verdict.lost + verdict.uncounted,
            verdict.duplicated + verdict.overcounted,
        )  # fmt: skip

    def _has_position(self) -> bool:
        with self._jobs.client() as client:
            return all(client.hvals(keys.delivered(partition)) for partition in range(PARTITIONS))

    def _archived(self) -> Kind:
        """The readings of the load, by what the history has."""
        wanted: Counter[str] = Counter()
        for sent, outcome in self._load.ledger.outcomes():
            if outcome in {"ok", "dup"}:
                wanted[sent.device] += len(sent.numbers)
        until(lambda: all(self._jobs.history()[name] >= count for name, count in wanted.items()))
        found = Counter({name: self._jobs.history()[name] for name in wanted})
        return Kind(wanted.total(), (wanted - found).total(), (found - wanted).total())

    def _alerts(self) -> Kind:
        """Lost: not logged, or not sent; wrong: logged without a reason."""
        wanted: Counter[Step] = Counter(
            each for device in self._alert_sender.expected for each in device.transitions
        )
        until(lambda: not self._read_log() and not self._unsent())
        found: Counter[Step] = Counter(
            (t.device, t.rule, t.state, t.was, t.since_ms, t.value) for t in self._logged.values()
        )
        arrived = Counter(self._receiver.ids)
        wrong = (found - wanted).total()
        lost = (wanted - found).total() + len(self._unsent())
        repeated = sum(count - 1 for count in arrived.values())
        return Kind(wanted.total(), lost, wrong, repeated)

    def _unsent(self) -> set[str]:
        to_send = {t.id for t in self._logged.values() if message.kind(t) is not None}
        return to_send - set(self._receiver.ids)

    def _read_log(self) -> int:
        """Read what is logged since the last time; how many there were."""
        before = len(self._logged)
        with self._jobs.client() as client:
            for partition in range(PARTITIONS):
                held: Any = client.zrange(keys.transitions(partition), 0, -1, withscores=True)
                for member, number in held:
                    self._logged[partition, int(number)] = alert.parse_transition(member)
        return len(self._logged) - before


def run(folder: Path, options: Options) -> Outcome:
    """Run the events of one kind at one level."""
    with contextlib.closing(JobSite(folder, options)) as site:
        site.run()
        return site.outcome()
