"""What the answer of a server means: one table for REST and gRPC.

`RULES` is read from top to bottom; the first rule that fits decides. Only an answer in Qdrant's
own form says anything about points: whatever a proxy, another server or a page of HTML says is a
failure of the connection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto


class Meaning(Enum):
    """What is to be done about a failure."""

    UNAVAILABLE = auto()
    """Ask again."""
    RATE_LIMITED = auto()
    """Ask again, after as long as the server says."""
    NOT_QDRANT = auto()
    """Ask again: something between here and the server answered in its place."""
    DISK_FULL = auto()
    """Ask again, but a person should know."""
    TOO_LARGE = auto()
    """Ask for less at a time."""
    BAD_POINTS = auto()
    """Find the bad points of the request, if it has points."""
    REFUSED = auto()
    """The request is wrong, whatever its points are."""
    LIMIT = auto()
    """A person must raise a limit or free something."""
    FORBIDDEN = auto()
    """A person must give a key, or a right."""
    MISSING = auto()
    """There is no such collection."""
    BROKEN = auto()
    """The server has the collection and cannot read it, unless it was created just now."""
    EXISTS = auto()
    """There is already one."""
    CLOSED = auto()
    """The program closed the client before."""
    OTHER_LOOP = auto()
    """The client belongs to another event loop."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came instead of a result.

    Attributes:
        status: HTTP status, for gRPC the nearest one; 0 where nothing was answered.
        words: The reason, in one line.
        own: Whether it has the form of Qdrant's answers.
        retry_after: The header, as it was sent.
    """

    status: int
    words: str
    own: bool = False
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """Answers of these statuses, and with these words, mean this.

    Attributes:
        meaning: What they mean.
        status: The statuses; None fits any.
        words: A regular expression that is found in the words; None fits any.
        own: Whether the answer must have Qdrant's form; None fits either.
        retry_after: Whether there must be a Retry-After; None fits either.
        cure: What to do, added to the message.
    """

    meaning: Meaning
    status: range | None = None
    words: str | None = None
    own: bool | None = None
    retry_after: bool | None = None
    cure: str = ""

    def fits(self, answer: Answer) -> bool:
        """Return whether the rule is about this answer."""
        return (
            (self.status is None or answer.status in self.status)
            and (self.own is None or answer.own is self.own)
            and (self.retry_after is None or (answer.retry_after is not None) is self.retry_after)
            and (self.words is None or re.search(self.words, answer.words) is not None)
        )


def _status(first: int, last: int | None = None) -> range:
    return range(first, (last or first) + 1)


# What the clients say, httpx and gRPC.
CLOSED_WORDS = r"([Cc]lient|[Cc]hannel) (has been |was |is )?closed|closed (client|channel)"
LOOP_WORDS = r"different (event )?loop|[Ee]vent loop is closed"

_KEY = "Give the API key as api_key= or in QDRANT_API_KEY."
_MANAGE = 'The key needs the right to manage the whole server (global, "m").'
_REACH = "Is the server up, the URL right (http or https, the port), the time limit long enough?"
_GRPC_PORT = "Give the port of gRPC as grpc_port= (--grpc-port), usually 6334."
_SPLIT = "Send less at a time."
_INDEX = "Create the index with payload_indexes= (--index FIELD:KIND)."
_CA = "Give the certificate of a private CA as verify= (--ca FILE)."
_CLIENT_CERTIFICATE = (
    "Does the server want a certificate of its clients? Give it as client_certificate= "
    "(--client-cert, --client-key)."
)
_NAME = "The server's certificate is for other names: write the URL with one of them."
_HTTP = "Does the server speak http alone? Then write http:// in the URL."
_HTTPS = "Does the server speak https? Then write https:// in the URL."
_REOPEN = "The store or its client was closed before: open it again."
_OWN_LOOP = (
    "An asynchronous client belongs to the event loop that first used it: open the store with "
    "url=, which makes a client for each."
)

_REPLICAS = "Other machines of the cluster are away, or the collection is broken."
_BROKEN = (
    "Look at the server's log. If it cannot be mended, drop it (`multiqa collection drop`, or the "
    "store's drop()) and fill it again."
)

RULES: tuple[Rule, ...] = (
    # Certificates, and http where https is spoken or the other way round.
    Rule(Meaning.UNAVAILABLE, cure=_NAME,
         words="Hostname mismatch|IP address mismatch|Hostname Verification Check failed"),
    Rule(Meaning.UNAVAILABLE, words="CERTIFICATE_VERIFY_FAILED", cure=_CA),
    Rule(Meaning.UNAVAILABLE, cure=_CLIENT_CERTIFICATE,
         words="ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNKNOWN_CA|HANDSHAKE_FAILURE)"),
    Rule(Meaning.UNAVAILABLE, _status(0), words="WRONG_VERSION_NUMBER|RECORD_LAYER", cure=_HTTP),
    Rule(Meaning.UNAVAILABLE, _status(0), words="illegal (request|status) line", cure=_HTTPS),
    # Faults of the program: the client raises them, without any answer.
    Rule(Meaning.CLOSED, _status(0), words=CLOSED_WORDS, cure=_REOPEN),
    Rule(Meaning.OTHER_LOOP, _status(0), words=LOOP_WORDS, cure=_OWN_LOOP),
    # Rights.
    Rule(Meaning.LIMIT, words="Storage locked", own=True,
         cure="Unlock the server with its locks API."),
    Rule(Meaning.FORBIDDEN, _status(401), cure=_KEY),
    Rule(Meaning.FORBIDDEN, _status(403), words="[Gg]lobal (manage )?access|Manage access",
         cure=_MANAGE),
    Rule(Meaning.FORBIDDEN, _status(403), words="Write access|Only points access",
         cure='The key needs the right to write to the collection ("rw").'),
    Rule(Meaning.FORBIDDEN, _status(403), words="Access to collection",
         cure='The key needs the right to read the collection ("r").'),
    Rule(Meaning.FORBIDDEN, _status(403), cure="The key does not have the right to do this."),
    # Collections.
    Rule(Meaning.EXISTS, words="already exists", own=True),
    Rule(Meaning.EXISTS, _status(409), own=True),
    Rule(Meaning.MISSING, _status(404), own=True),
    # Sizes. A proxy refuses them too.
    Rule(Meaning.TOO_LARGE, _status(413), cure=_SPLIT),
    Rule(Meaning.TOO_LARGE, _status(0), words="the answer is larger than", cure=_SPLIT),
    Rule(Meaning.TOO_LARGE, _status(400, 429), own=True, cure=_SPLIT,
         words=r"larger than (allowed|max)|exceeded limit \(|message length too large"
         r"|try to split your request"),
    Rule(Meaning.TOO_LARGE, _status(400), own=True, cure=_SPLIT,
         words=r'for "(limit|upsert limit|update limit|search batch size)"'
         r"|Condition size limit reached"),
    # Rates. Qdrant always says how long; a proxy often does not.
    Rule(Meaning.RATE_LIMITED, _status(429)),
    # Quotas, full disks, strict mode.
    Rule(Meaning.LIMIT, _status(400), own=True,
         words=r"Max .* (count|size) limit of .* reached|memory usage is at|Disk usage is at",
         cure="Raise the limit of the collection's strict mode, or delete something."),
    Rule(Meaning.LIMIT, _status(400), words="Index required but not found", own=True,
         cure=_INDEX),
    Rule(Meaning.REFUSED, _status(400), words="No appropriate index|no index|requires? .*index",
         own=True, cure=_INDEX),
    Rule(Meaning.LIMIT, _status(400), words=r"\. Help: ", own=True,
         cure="It is a limit of the collection's strict mode."),
    Rule(Meaning.DISK_FULL, _status(500), own=True,
         words=r"[Nn]o space left|WAL buffer size exceeds|[Dd]isk (is )?full|[Oo]ut of disk",
         cure="Free space on the server's disk."),
    # Requests that are wrong whatever their points are.
    Rule(Meaning.REFUSED, _status(400, 422), own=True, words="[Ss]hard (key|selector)",
         cure="Collections with custom sharding cannot be written to by this package."),
    Rule(Meaning.BAD_POINTS, _status(400), own=True),
    Rule(Meaning.BAD_POINTS, _status(422), own=True),
    # The rest of the 5xx: it will pass.
    Rule(Meaning.BROKEN, _status(500), own=True, cure=_BROKEN,
         words=r"\b0 of 0 read operations failed|Failed to load local shard|Dirty shard"),
    Rule(Meaning.UNAVAILABLE, _status(500, 503), words="active replica", own=True, cure=_REPLICAS),
    Rule(Meaning.NOT_QDRANT, _status(501), cure=_GRPC_PORT),
    Rule(Meaning.NOT_QDRANT, _status(502, 504), own=True, cure=_GRPC_PORT,
         words=r"http1|Trying to connect an http|wrong version number|WRONG_VERSION"),
    Rule(Meaning.UNAVAILABLE, _status(500, 599)),
    Rule(Meaning.UNAVAILABLE, _status(408), own=True),
    # Whatever else was answered was not answered by Qdrant.
    Rule(Meaning.REFUSED, _status(400, 499), own=True),
    Rule(Meaning.NOT_QDRANT, _status(100, 999)),
    # No answer at all.
    Rule(Meaning.UNAVAILABLE, cure=_REACH),
)  # fmt: skip


def meaning(answer: Answer) -> Rule:
    """Return the rule that an answer falls under."""
    return next(rule for rule in RULES if rule.fits(answer))
