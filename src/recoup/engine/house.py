"""The assembled house: database, clock, providers, mail; handed to everything that acts."""

from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock

import msgspec
import structlog
from sqlalchemy.engine import Connection, Engine

from recoup.channels.captured import CAPTURED_SENDER
from recoup.channels.dns.senders import Sending
from recoup.channels.esp.back import ReportDoor
from recoup.channels.port import MailDoor, SmsDoor
from recoup.decide.chart import Chart
from recoup.decide.model import read_model
from recoup.decide.renewal import RenewalModel, read_renewal_model
from recoup.domain.policy import Policy
from recoup.engine.clock import Clock
from recoup.engine.links import Links
from recoup.engine.shut import ShutDoors
from recoup.psp.port import Gateway
from recoup.store import merchants, models
from recoup.store.merchants import Merchant
from recoup.store.vault import Vault

log = structlog.get_logger()

_policy_decoder = msgspec.json.Decoder(Policy)


class UnknownPolicy(LookupError):
    """A case follows a policy version that is not stored."""


class House:
    """One running Recoup. Safe to share between threads."""

    def __init__(
        self,
        *,
        db: Engine,
        clock: Clock,
        vault: Vault,
        links: Links,
        open_gateway: Callable[[Merchant, dict[str, str]], Gateway],
        mail_door: Callable[["House", Merchant], MailDoor],
        worker_id: str,
        sms_door: Callable[["House", Merchant], SmsDoor | None] = lambda house, merchant: None,
        support: str = CAPTURED_SENDER,
        private_endpoints: bool = False,
        mail_back: ReportDoor | None = None,
        sending: Sending | None = None,
        dns_server: str = "",
    ) -> None:
        self.db = db
        self.clock = clock
        self.vault = vault
        self.links = links
        self.worker_id = worker_id
        self.mail_door = mail_door
        self.sms_door = sms_door
        """How a merchant's text messages leave; None where no provider is set."""
        self.mail_back = mail_back
        """Where the mail provider tells what became of letters; None where mail leaves another way."""
        self.support = support
        """Where customers' questions go when a merchant has named no address of its own: the sender's."""
        self.private_endpoints = private_endpoints
        """Whether webhooks out may go to addresses of the house's own network."""
        self.sending = sending
        """How mail leaves, as the mail doctor must know it; None where it is captured."""
        self.dns_server = dns_server
        """The name server the mail doctor asks; empty: the system's."""
        self.left_behind: SimpleQueue[tuple[str, str]] = SimpleQueue()
        """Cases (merchant, id) that a charge for a person may have left claimed when the database went away."""
        self.shut_doors = ShutDoors()
        self._open_gateway = open_gateway
        self._opened: dict[str, tuple[bytes, dict[str, str]]] = {}
        self._gateways: dict[tuple[str, bytes], Gateway] = {}
        self._policies: dict[tuple[str, str], Policy] = {}
        self._charts: dict[str, tuple[str, Chart | None]] = {}
        self._lock = Lock()

    def gateway(self, merchant: Merchant) -> Gateway:
        """The merchant's provider account; built once, and again when its credentials change."""
        key = (merchant.id, merchant.account)
        with self._lock:
            if key not in self._gateways:
                for old in [k for k in self._gateways if k[0] == merchant.id]:
                    del self._gateways[old]
                self._gateways[key] = self._open_gateway(merchant, self.vault.open(merchant.account))
            return self._gateways[key]

    def doors(self, merchant: Merchant) -> dict[str, str]:
        """What the merchant has set about text messages (`sms_url`) and its staff's chat (`chat_url`), opened once."""
        if merchant.doors is None:
            return {}
        known = self._opened.get(merchant.id)
        if known is None or known[0] != merchant.doors:
            known = self._opened[merchant.id] = (merchant.doors, self.vault.open(merchant.doors))
        return known[1]

    def merchant(self, connection: Connection, merchant_id: str) -> Merchant:
        """The merchant, read afresh. Raises `merchants.NoSuchMerchant`."""
        return merchants.get(connection, merchant_id)

    def policy(self, connection: Connection, merchant_id: str, ref: str) -> Policy:
        """The stored policy `name@version`. Versions never change, so they are read once. Raises `UnknownPolicy`."""
        found = self._policies.get((merchant_id, ref))
        if found is None:
            bodies = merchants.policy_bodies(connection, merchant_id)
            if ref not in bodies:
                raise UnknownPolicy(
                    f"policy {ref} is not stored for merchant {merchant_id}; stored are {', '.join(sorted(bodies)) or 'none'}"
                )
            try:
                found = self._policies[merchant_id, ref] = _policy_decoder.decode(bodies[ref])
            except msgspec.MsgspecError as e:
                raise UnknownPolicy(f"policy {ref} of merchant {merchant_id} cannot be read: {e}") from e
        return found

    def chart(self, connection: Connection, merchant: Merchant) -> Chart | None:
        """The merchant's own model, laid out once for each version; None where the shipped one speaks.

        A model was read before it was made active. One that this version of Recoup cannot read any more is reported
        (`recoup doctor` names it), and the shipped one speaks meanwhile.
        """
        if merchant.model is None:
            return None
        known = self._charts.get(merchant.id)
        if known is None or known[0] != merchant.model:
            body = models.body(connection, merchant.id, merchant.model)
            chart = None
            try:
                chart = Chart(read_model((body or "").encode()))
            except ValueError as e:
                log.error(
                    "own model cannot be read; the shipped one decides", merchant=merchant.id, why=str(e)
                )
            known = self._charts[merchant.id] = (merchant.model, chart)
        return known[1]

    def renewal_model(self, connection: Connection, merchant: Merchant) -> RenewalModel | None:
        """The merchant's own model of coming renewals; None where the shipped one speaks, as where it cannot be read any more."""
        if merchant.renewal_model is None:
            return None
        body = models.body(connection, merchant.id, merchant.renewal_model)
        try:
            return read_renewal_model((body or "").encode())
        except ValueError as e:
            log.error(
                "own model of renewals cannot be read; the shipped one speaks",
                merchant=merchant.id,
                why=str(e),
            )
            return None

    def known_policy(self, merchant_id: str, ref: str) -> Policy | None:
        """The policy `name@version` where it was read before."""
        return self._policies.get((merchant_id, ref))
