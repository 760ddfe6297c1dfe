"""What ingress says, all of it. Codes: RFC 5321 §4.2.3; statuses: RFC 3463, RFC 5248.

Greetings, answers to EHLO and 3yz replies carry no status (RFC 2034 §4).
"""

from kernel.model.reply import Reply

OK = Reply(250, "2.0.0", "OK")
SENDER_OK = Reply(250, "2.1.0", "Sender OK")
BYE = Reply(221, "2.0.0", "Bye")
CANNOT_VERIFY = Reply(252, "2.0.0", "Cannot verify the user, but will take mail for delivery")
HELP = Reply(
    214,
    "2.0.0",
    "Commands: AUTH BDAT DATA EHLO HELO HELP MAIL NOOP QUIT RCPT RSET STARTTLS VRFY\nSee RFC 5321",
)
CHUNK_TAKEN = Reply(250, "2.0.0", "Chunk received")
GO_AHEAD = Reply(354, "", "End data with <CR><LF>.<CR><LF>")
READY_FOR_TLS = Reply(220, "2.0.0", "Ready to start TLS")

NOT_YET = Reply(421, "4.3.2", "Not accepting mail yet, try again later")
SHUTTING_DOWN = Reply(421, "4.3.2", "Shutting down, try again later")
NOT_ADMITTED = Reply(554, "5.7.1", "No SMTP service here for you")
TOO_MANY_CONNECTIONS = Reply(421, "4.7.0", "Too many connections, try again later")
TOO_EARLY = Reply(554, "5.5.0", "You spoke before you were greeted")
SHUT_OUT = Reply(421, "4.7.0", "Too many unknown recipients from you, try again later")
TOO_MANY_UNKNOWN = Reply(421, "4.7.0", "Too many unknown recipients")
TOO_MANY_ERRORS = Reply(421, "4.7.0", "Too many errors")
IDLE = Reply(421, "4.4.2", "Timed out waiting for you")
TOO_SLOW = Reply(421, "4.4.2", "Too slow, try again later")
TOO_LONG = Reply(421, "4.4.2", "This session takes too long, begin another")
LOST_TRACK = Reply(421, "4.7.0", "What follows cannot be told from commands")
NOT_YOUR_WORD = Reply(421, "4.7.0", "Your word on your clients does not count here")
BROKEN_OFF = Reply(421, "4.3.0", "Something went wrong here, try again later")

TRY_LATER = Reply(451, "4.3.0", "Try again later")
NO_ROOM = Reply(452, "4.3.1", "No room for more messages right now, try again later")
TOO_MUCH = Reply(450, "4.7.1", "Too much mail from you, try again later")
TOO_MANY_GUESSES = Reply(450, "4.7.1", "Too many unknown recipients from you, try again later")
TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", "Too many recipients")

UNKNOWN_COMMAND = Reply(500, "5.5.1", "Command not recognized")
LINE_TOO_LONG = Reply(500, "5.5.2", "Line too long")
BAD_LINE = Reply(500, "5.5.2", "Syntax error")
NOT_IMPLEMENTED = Reply(502, "5.5.1", "Command not implemented")
BAD_ARGUMENT = Reply(501, "5.5.4", "Syntax error in the argument")
NO_ARGUMENT = Reply(501, "5.5.4", "This command takes no argument")
BAD_HELO = Reply(501, "5.5.4", "Say hello with a domain name or an address literal")
BAD_MAIL = Reply(501, "5.5.2", "Syntax: MAIL FROM:<address> [parameters]")
BAD_RCPT = Reply(501, "5.5.2", "Syntax: RCPT TO:<address> [parameters]")
BAD_BDAT = Reply(501, "5.5.4", "Syntax: BDAT size [LAST]")
BAD_XCLIENT = Reply(501, "5.5.4", "Syntax: XCLIENT attribute=value [...], without LOGIN")
BAD_PARAMETER = Reply(501, "5.5.4", "Syntax error in a parameter")
BAD_SENDER = Reply(501, "5.1.7", "Bad sender address syntax")
BAD_RECIPIENT = Reply(501, "5.1.3", "Bad recipient address syntax")
UNKNOWN_PARAMETER = Reply(555, "5.5.4", "Parameter not recognized")
HELD_TOO_LONG = Reply(501, "5.5.4", "Mail is not held back for so long")
NOT_HELD = Reply(554, "5.7.1", "Mail of strangers is not held back")
NEEDS_SMTPUTF8 = Reply(553, "5.6.7", "An address beyond ASCII needs SMTPUTF8")

HELO_FIRST = Reply(503, "5.5.1", "Say EHLO first")
EHLO_FIRST = Reply(503, "5.5.1", "Only after EHLO")
MAIL_FIRST = Reply(503, "5.5.1", "Need MAIL first")
NESTED_MAIL = Reply(503, "5.5.1", "Sender already given")
RCPT_FIRST = Reply(503, "5.5.1", "Need RCPT first")
CHUNKS_HAVE_BEGUN = Reply(503, "5.5.1", "Inside a message that comes in chunks")
ONLY_IN_CHUNKS = Reply(503, "5.5.1", "A binary message comes by BDAT")
NO_RECIPIENTS = Reply(554, "5.5.1", "No valid recipients")

TLS_UNAVAILABLE = Reply(502, "5.5.1", "STARTTLS is not offered here")
TLS_ALREADY = Reply(503, "5.5.1", "TLS is in use already")
TLS_FIRST = Reply(530, "5.7.0", "Must issue a STARTTLS command first")

AUTH_GRANTED = Reply(235, "2.7.0", "Authentication successful")
AUTH_REFUSED = Reply(535, "5.7.8", "Authentication credentials invalid")
AUTH_LATER = Reply(454, "4.7.0", "Temporary authentication failure")
AUTH_CANCELLED = Reply(501, "5.7.0", "Authentication cancelled")
AUTH_MALFORMED = Reply(501, "5.5.2", "Cannot decode the response")
AUTH_LINE_TOO_LONG = Reply(500, "5.5.6", "Authentication exchange line is too long")
AUTH_UNAVAILABLE = Reply(503, "5.5.1", "Authentication is not offered here")
AUTH_ALREADY = Reply(503, "5.5.1", "Already authenticated")
NOT_IN_MAIL = Reply(503, "5.5.1", "Not inside a mail transaction")
AUTH_UNKNOWN_MECHANISM = Reply(504, "5.5.4", "Authentication mechanism not recognized")
AUTH_NEEDS_TLS = Reply(538, "5.7.11", "Encryption is required for this authentication mechanism")

NOBODY = "5.1.1"
"""The status of a recipient who does not exist (RFC 3463 §3.2)."""

TOO_BIG = Reply(552, "5.3.4", "Message is too big")
BARE_LINE_END = Reply(554, "5.6.0", "Bare CR or LF in the message: lines end with CRLF")
HEADER_TOO_BIG = Reply(552, "5.3.4", "The header of the message is too big")
TOO_MANY_HOPS = Reply(554, "5.4.6", "Too many hops: this looks like a mail loop")
