"""What we say: general enough to give nothing away. Response codes: RFC 2449 §8, RFC 3206."""

from kernel.sasl import Fault

GREETING = "+OK Postroom is ready"  # no timestamp in it: APOP is not offered
BYE = "+OK Bye"
OK = "+OK"
READY_FOR_TLS = "+OK Begin TLS"
SEND_PASSWORD = "+OK Send your password"  # noqa: S105 - whoever the user is
DELETED = "+OK Deleted, once you say QUIT"

UNKNOWN_COMMAND = "-ERR Unknown command"
NOT_NOW = "-ERR Not now"
BAD_LINE = "-ERR Not a line of text"
LINE_TOO_LONG = "-ERR Line too long"
BAD_ARGUMENT = "-ERR Not what that command wants"
NO_SUCH_MESSAGE = "-ERR No such message"
USER_FIRST = "-ERR Say USER first"
TLS_FIRST = "-ERR Not without TLS: say STLS first"
TLS_ALREADY = "-ERR There is TLS already"
UNKNOWN_MECHANISM = "-ERR No such mechanism"
TOO_MANY_ERRORS = "-ERR Too many errors"

REFUSED = "-ERR [AUTH] Wrong name or password"
TRY_LATER = "-ERR [SYS/TEMP] Not now, try again later"
NO_MAILBOX = "-ERR [SYS/PERM] There is no mailbox for you"
IN_USE = "-ERR [IN-USE] Somebody else is reading this mailbox"
NOT_ALL_DELETED = "-ERR [SYS/TEMP] Some deleted messages could not be removed"
TOO_MANY_CONNECTIONS = "-ERR [SYS/TEMP] Too many connections, try again later"

FAULTS = {
    Fault.CANCELLED: "-ERR Cancelled",
    Fault.MALFORMED: "-ERR Not what that mechanism wants",
    Fault.TOO_LONG: LINE_TOO_LONG,
}
